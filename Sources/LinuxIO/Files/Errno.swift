internal import Glibc
package import SystemPackage

/// The value of a call, or the error it stands for.
@discardableResult
package func checked(_ result: CInt) throws(Errno) -> CInt {
    guard result >= 0 else { throw Errno(rawValue: -result) }
    return result
}

/// The same for libc calls that answer -1 and set `errno`.
@discardableResult
package func checkedErrno(_ result: CInt) throws(Errno) -> CInt {
    guard result >= 0 else { throw Errno(rawValue: errno) }
    return result
}
