import Glibc
import SystemPackage
import Testing

@testable import LinuxIO

@Suite("Memory")
struct MemoryTests {
    @Test("a mapping sees what another mapping of the same memory writes")
    func shared() throws {
        let memory = try SharedMemory(name: "test", size: 8192)
        let one = try MemoryMapping(memory)
        let other = try MemoryMapping(memory)
        one.region.slice(at: 4090, count: 5).copy(from: [1, 2, 3, 4, 5])
        #expect(other.region.slice(at: 4090, count: 5).bytes == [1, 2, 3, 4, 5])
    }

    @Test("memory is allocated when it is provisioned, and released by the page")
    func provisioning() throws {
        let memory = try SharedMemory(name: "test", size: 1 << 20)
        #expect(memory.residentBytes == 0)
        try memory.handle.provision(offset: 0, count: 1 << 16)
        #expect(memory.residentBytes == 1 << 16)
        try memory.handle.punchHole(offset: 4096, count: 8192)
        #expect(memory.residentBytes == 1 << 16 - 8192)
    }

    @Test("memory is unmapped in pieces of 16 MiB, or in 1024 pieces")
    func unmapping() throws {
        #expect(MemoryMapping.unmappedAtOnce(of: 4096) == 16 << 20)
        #expect(MemoryMapping.unmappedAtOnce(of: 16 << 30) == 16 << 20)
        #expect(MemoryMapping.unmappedAtOnce(of: 16 << 30 + 4096) == 18 << 20)
        #expect(MemoryMapping.unmappedAtOnce(of: 1 << 44) == 1 << 34)
        // A mapping whose last piece is short.
        let base: UInt
        do {
            let mapping = try MemoryMapping(privateBytes: 48 << 20 + 4096)
            base = unsafe UInt(bitPattern: mapping.region.base)
        }
        for offset in [0, 16 << 20, 48 << 20] as [UInt] {
            var state: UInt8 = 0
            let page = unsafe UnsafeMutableRawPointer(bitPattern: base + offset)
            #expect(unsafe mincore(page, 4096, &state) == -1)
        }
    }

    @Test("meminfo and a control group's limits are read as the kernel writes them")
    func availableMemory() {
        let text =
            "MemTotal:       100 kB\nMemFree: 1 kB\nMemAvailable:      42 kB\nBuffers: 3 kB\n"
        #expect(AvailableMemory.meminfo(text) == 42 << 10)
        #expect(AvailableMemory.meminfo("MemTotal: 1 kB\n") == nil)
        #expect(
            AvailableMemory.groupRemainder(limit: "1000\n", used: "400\n", statistics: "") == 600)
        #expect(
            AvailableMemory.groupRemainder(limit: "1000\n", used: "4000\n", statistics: "") == 0)
        #expect(
            AvailableMemory.groupRemainder(limit: "max\n", used: "400\n", statistics: "") == nil)
        #expect(AvailableMemory.groupRemainder(limit: "", used: "", statistics: "") == nil)
        let statistics = "anon 5\ninactive_file 300\nactive_file 7\n"
        #expect(
            AvailableMemory.groupRemainder(limit: "1000", used: "900", statistics: statistics)
                == 400)
        #expect(
            AvailableMemory.groupDirectories("0::/a.slice/b.service\n") == [
                "/sys/fs/cgroup/a.slice/b.service", "/sys/fs/cgroup/a.slice", "/sys/fs/cgroup",
            ])
        #expect(AvailableMemory.groupDirectories("0::/\n") == ["/sys/fs/cgroup"])
        #expect(AvailableMemory.groupDirectories("") == ["/sys/fs/cgroup"])
        #expect((AvailableMemory.bytes ?? 0) > 0)
    }

    @Test("the fields of a file in /proc are found by their whole names")
    func fields() {
        let fields = ProcFields("Name:\tx\nVmRSS:\t   12 kB\nVmRSSx: 7\nflag\ninactive_file 300\n")
        #expect(fields["VmRSS"] == "12")
        #expect(fields.bytes(ofKiB: "VmRSS") == 12 << 10)
        #expect(fields["inactive_file"] == "300")
        #expect(fields["VmRS"] == nil)
        #expect(fields["flag"] == nil)
        #expect(fields.bytes(ofKiB: "Name") == nil)
        #expect(ProcFields(path: "/no/such/file")["VmRSS"] == nil)
    }

    @Test("files of reserved pages go to the first hugetlbfs with pages of the pool's size")
    func reservedPages() {
        let mounts = Mount.parse(
            """
            30 25 0:30 / /dev/shm rw - tmpfs tmpfs rw,pagesize=2M
            31 25 0:31 / /mnt/large rw - hugetlbfs none rw,pagesize=1024M
            32 25 0:32 / /mnt/a\\040b rw,relatime - hugetlbfs none rw,pagesize=2M
            33 25 0:33 / /dev/hugepages rw - hugetlbfs none rw,pagesize=2M
            """)
        #expect(ReservedPages.mountPoint(in: mounts, pageSize: 2 << 20) == "/mnt/a b")
        #expect(ReservedPages.mountPoint(in: mounts, pageSize: 1 << 30) == "/mnt/large")
        #expect(ReservedPages.mountPoint(in: mounts, pageSize: 1 << 20) == nil)
        let plain = Mount.parse("31 25 0:31 / /mnt/plain rw - hugetlbfs none rw\n")
        #expect(ReservedPages.mountPoint(in: plain, pageSize: 2 << 20) == "/mnt/plain")
    }
}

@Suite("Lists of regions")
struct VectorListTests {
    @Test("consuming can end in the middle of a region, and an empty list starts over")
    func consume() throws {
        let mapping = try MemoryMapping(privateBytes: 4096)
        var list = VectorList(capacity: 3)
        for part in 0..<3 { list.append(mapping.region.slice(at: part * 10, count: 10)) }
        #expect(list.byteCount == 30)
        #expect(list.room == 0)
        list.consume(5)
        list.consume(5)
        list.consume(13)
        #expect(list.byteCount == 7)
        list.consume(7)
        let isEmpty = list.isEmpty
        #expect(isEmpty)
        #expect(list.room == 3)
    }

    @Test("what is sent in small steps arrives in order")
    func sendAndReceive() throws {
        let mapping = try MemoryMapping(privateBytes: 1 << 20)
        let target = try MemoryMapping(privateBytes: 1 << 20)
        let bytes = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
        mapping.region.copy(from: bytes)
        let pair = try StreamSocket.pair()
        let sender = pair.first.handle
        let region = mapping.region
        let thread = try Thread(name: "sender") {
            var list = VectorList(capacity: 64)
            for part in 0..<64 { list.append(region.slice(at: part << 14, count: 1 << 14)) }
            while !list.isEmpty {
                guard case .bytes(let count) = sender.send(list) else { return }
                list.consume(count)
            }
            sender.shutdownBoth()
        }
        var received = 0
        while received < 1 << 20 {
            let rest = target.region.slice(
                at: received, count: min(70_001, (1 << 20) - received))
            guard case .bytes(let count) = pair.second.handle.receive(into: rest, blocking: true)
            else { break }
            received += count
        }
        thread.join()
        #expect(target.region.bytes == bytes)
        #expect(pair.second.handle.receive(into: target.region, blocking: true) == .endOfStream)
    }
}

@Suite("Sockets")
struct SocketTests {
    @Test("a non-blocking receive without input is not an error")
    func wouldBlock() throws {
        let pair = try StreamSocket.pair()
        let mapping = try MemoryMapping(privateBytes: 16)
        #expect(pair.first.handle.receive(into: mapping.region, blocking: false) == .wouldBlock)
        #expect(try !pair.first.handle.waitReadable(milliseconds: 1))
    }

    @Test("after the peer has gone, a receive ends, a send fails, and there is no SIGPIPE")
    func gone() throws {
        let socket: StreamSocket
        do {
            let pair = try StreamSocket.pair()
            socket = pair.first
        }
        let mapping = try MemoryMapping(privateBytes: 16)
        #expect(socket.handle.receive(into: mapping.region, blocking: true) == .endOfStream)
        var list = VectorList(capacity: 1)
        list.append(mapping.region)
        #expect(socket.handle.send(list) == .failed(.brokenPipe))
    }

    @Test("small replies over TCP are not held back")
    func noDelay() throws {
        let address = try #require(try SocketAddress.resolve(host: "127.0.0.1", port: 0).first)
        let listener = try Listener(tcp: address)
        let client = try StreamSocket.connect(to: listener.address)
        let server = try listener.accept()
        #expect(!server.handle.isUnix)
        #expect(noDelay(of: server.handle) == 0)
        server.handle.disableDelay()
        #expect(noDelay(of: server.handle) == 1)
        // A socket without such an option ignores the call.
        let pair = try StreamSocket.pair()
        pair.first.handle.disableDelay()
        #expect(pair.first.handle.isUnix)
        extendLifetime(client)
    }

    private func noDelay(of handle: SocketHandle) -> CInt {
        var value: CInt = -1
        var length = socklen_t(MemoryLayout<CInt>.size)
        unsafe getsockopt(handle.rawValue, CInt(IPPROTO_TCP), TCP_NODELAY, &value, &length)
        return value
    }

    @Test("a send that the peer does not read ends after its timeout")
    func sendTimeout() throws {
        let pair = try StreamSocket.pair()
        let mapping = try MemoryMapping(privateBytes: 1 << 20)
        pair.first.handle.setSendTimeout(milliseconds: 50)
        var list = VectorList(capacity: 1)
        list.append(mapping.region)
        var transfer = pair.first.handle.send(list)
        while case .bytes(let count) = transfer {
            list.consume(count)
            transfer = pair.first.handle.send(list)
        }
        #expect(transfer == .wouldBlock)
    }

    @Test("addresses are written in the usual notation")
    func addresses() throws {
        let four = try #require(try SocketAddress.resolve(host: "127.0.0.1", port: 10809).first)
        #expect(four.description == "127.0.0.1:10809")
        let six = try #require(try SocketAddress.resolve(host: "::1", port: 1).first)
        #expect(six.description == "[::1]:1")
        #expect(six.with(port: 65535).description == "[::1]:65535")
        #expect(SocketAddress.unix(path: "/tmp/x")?.description == "/tmp/x")
        #expect(SocketAddress.unix(path: String(repeating: "x", count: 107)) != nil)
        #expect(SocketAddress.unix(path: String(repeating: "x", count: 108)) == nil)
        #expect(SocketAddress.unix(path: "") == nil)
        #expect(throws: SocketAddress.LookupError.self) {
            try SocketAddress.resolve(host: "256.1.1.1.invalid", port: 1)
        }
    }

    @Test("a Unix socket's file: a dead one is replaced, a live one and a plain file are not")
    func unixListener() throws {
        let path = "/tmp/ramdisk-nbd-io-\(UInt64.random(in: 0...(.max))).sock"
        let address = try #require(SocketAddress.unix(path: path))
        func exists() -> Bool { (try? FileDescriptor.open(FilePath(path), .readOnly)) != nil }

        do {
            let listener = try Listener(unix: address)
            #expect(throws: Errno.addressInUse) { try Listener(unix: listener.address) }
        }
        #expect(throws: Errno.noSuchFileOrDirectory) { _ = try StreamSocket.connect(to: address) }

        let file = try FileDescriptor.open(
            FilePath(path), .writeOnly, options: [.create], permissions: .ownerReadWrite)
        try file.close()
        #expect(throws: Errno.addressInUse) { try Listener(unix: address) }
        #expect(exists())
        unsafe unlink(path)
    }
}

@Suite("Threads and time")
struct ThreadTests {
    @Test("a thread runs, and another one can wait for its end")
    func join() throws {
        let pair = try StreamSocket.pair()
        let handle = pair.first.handle
        let thread = try Thread(name: "test") { handle.shutdownBoth() }
        thread.join()
        let mapping = try MemoryMapping(privateBytes: 1)
        #expect(pair.second.handle.receive(into: mapping.region, blocking: true) == .endOfStream)
    }

    @Test("an event wakes the thread that waits, once for any number of signals")
    func wakeUp() throws {
        let event = try EventFD()
        event.signal()
        event.signal()
        let start = MonotonicTime.now()
        #expect(try Listener.poll([], or: event, milliseconds: 10_000).isEmpty)
        #expect(MonotonicTime.now() < start.adding(milliseconds: 9_000))
        event.clear()
        _ = try Listener.poll([], or: event, milliseconds: 30)
        #expect(MonotonicTime.now() > start.adding(milliseconds: 29))
    }
}
