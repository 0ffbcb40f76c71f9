package import KernelDisks
package import NBDProtocol
internal import ProgramSupport
internal import ServiceDiscovery

/// The way in which an array keeps its data on its members. md(4)
package enum PoolLevel: Int, Sendable, Codable, CaseIterable {
    /// Each block is on one member.
    case stripes = 0
    /// Each block is on every member.
    case mirror = 1
    /// Each block is on two members (md's "near" layout with two copies).
    case mirroredStripes = 10

    /// The name of the level in md: `raid1`.
    var mdName: String { "raid\(rawValue)" }
    /// Whether each block is on more than one member.
    var isRedundant: Bool { self != .stripes }
}

/// The source of a member of a pool.
package enum MemberSource: Sendable, Equatable, CustomStringConvertible {
    /// Memory of this machine: its size in bytes.
    case local(UInt64)
    /// An export of an NBD server.
    case remote(NBDURI)
    /// The exports of all servers of a service, which are known once it is looked up.
    case service(ServiceURI)
    /// No member: the slot stays empty until `pool replace` fills it.
    case missing

    /// The text of the member in records and on command lines.
    package var description: String {
        switch self {
        case .local(let bytes): "\(Self.localPrefix)\(Units.exactBytes(bytes))"
        case .remote(let uri): "\(uri)"
        case .service(let uri): "\(uri)"
        case .missing: Self.missingWord
        }
    }

    /// The prefix of the text of a local member, before its size.
    package static let localPrefix = "local="
    package static let missingWord = "missing"
}

/// The configuration of a pool.
package struct PoolConfiguration: Sendable {
    /// The name of the pool and of its array.
    let name: String
    let level: PoolLevel
    private let sources: [MemberSource]
    /// The time in seconds that a request to a member may take before the array drops the member.
    let timeout: UInt64
    let fileSystem: FileSystemConfiguration
    /// Whether a new array overwrites the contents of the members.
    let isForced: Bool

    package init(
        name: String, level: PoolLevel, sources: [MemberSource], timeout: UInt64,
        fileSystem: FileSystemConfiguration, isForced: Bool
    ) {
        self.name = name
        self.level = level
        self.sources = sources
        self.timeout = timeout
        self.fileSystem = fileSystem
        self.isForced = isForced
    }

    /// The default time in seconds that a request may take: the pause that programs see when a member's machine fails.
    /// A server of memory replies within milliseconds, and TCP repeats a lost packet several times in this time.
    package static let usualTimeout: UInt64 = 3

    /// The smallest number of members of an array.
    package static let fewestMembers = 2
    /// The largest number of members: no level gains from more, and the records stay small.
    package static let mostMembers = 32

    /// Returns the members, with each server of a service in the service's place.
    func sources(on machine: any PoolMachine) throws(Failure) -> [MemberSource] {
        var found: [MemberSource] = []
        for source in sources {
            guard case .service(let service) = source else {
                found.append(source)
                continue
            }
            do throws(ServiceLookup.Failure) {
                found += try machine.servers(of: service.name).map {
                    .remote(service.export(of: $0))
                }
            } catch {
                throw .unavailable("cannot look \(service) up: \(error)")
            }
        }
        if let reason = Self.problem(of: found, level) { throw .unavailable(reason) }
        return found
    }

    /// Returns why members cannot be a pool, in a sentence without a full stop; nil if they can. What depends on the
    /// servers of a service is not known before it is looked up.
    package static func problem(of sources: [MemberSource], _ level: PoolLevel) -> String? {
        let hasService = sources.contains { if case .service = $0 { true } else { false } }
        guard sources.count <= mostMembers, hasService || sources.count >= fewestMembers else {
            return "a pool has \(fewestMembers) to \(mostMembers) members, not \(sources.count)"
        }
        let present = sources.count { $0 != .missing }
        guard present > 0, level != .stripes || present == sources.count else {
            return "a pool of level \(level.rawValue) cannot start without its members"
        }
        var known: Set<String> = []
        let again = sources.first { source in
            switch source {
            case .remote, .service: !known.insert("\(source)").inserted
            case .local, .missing: false
            }
        }
        return again.map { "\($0) is given twice, but each member needs a disk of its own" }
    }

    /// Returns whether a text can be the name of a pool. md keeps at most 32 bytes, with the name of the host.
    package static func isName(_ text: String) -> Bool {
        (1...24).contains(text.utf8.count) && text.first?.isLetter == true
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}
