import ConfigurationFiles
import Foundation
import LinuxHost
import LinuxIO
import ServerHost
import SystemPackage

@testable import KernelDisks
@testable import NBDKernel

// MARK: - Netlink

/// Parses datagrams as if the kernel had sent them, with every interpretation that the program has for them.
func fuzzNetlink(_ input: [UInt8]) {
    var script = Script(input)
    var reply = NetlinkReply(sequence: 1)
    while !script.isOver {
        let bytes = script.byte() & 1 == 0 ? messages(&script) : script.bytes(Int(script.byte()))
        guard let messages = NetlinkMessage.parse(bytes) else { continue }
        for message in messages {
            var copy = NetlinkMessage(
                type: message.type, flags: message.flags, sequence: message.sequence,
                payload: message.payload)
            precondition(NetlinkMessage.parse(copy.encoded) == [message], "a message changes")
            copy.payload = []
            precondition(NetlinkMessage.parse(copy.encoded) == [copy], "an empty message changes")
        }
        _ = GenericNetlinkFamily.identifier(in: messages)
        let commands = messages.compactMap { GenericNetlinkMessage(decoding: $0.payload) }
        _ = NBDMessage.device(in: commands)
        for device in (NBDMessage.devices(in: commands) ?? [:]).keys
        where device.index <= NBDDevice.largestIndex {
            precondition(NBDDevice(path: device.path) == device, "a device's path")
        }
        do throws(Errno) {
            if try reply.add(messages) != nil { return }
        } catch {
            return
        }
    }
}

/// Returns messages whose lengths are right, mostly.
private func messages(_ script: inout Script) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<script.byte() % 4 {
        let types: [UInt16] = [
            NetlinkMessage.errorType, NetlinkMessage.doneType, GenericNetlinkFamily.controller, 30,
        ]
        let choice = script.byte()
        var payload = script.bytes(Int(choice >> 6))
        if choice & 4 != 0 {
            payload = [NBDCommand.status, 1, 0, 0] + attributes(&script, depth: 3).bytes
        }
        var message = NetlinkMessage(
            type: types[Int(choice & 3)], sequence: UInt32(choice >> 3 & 1), payload: payload
        ).encoded
        if choice & 0x20 != 0 { message[Int(script.byte()) % message.count] ^= script.byte() }
        bytes += message
    }
    return bytes
}

private func attributes(_ script: inout Script, depth: Int) -> NetlinkAttributes {
    var list = NetlinkAttributes()
    for _ in 0..<script.byte() % 4 {
        let choice = script.byte()
        let type = UInt16(choice & 15)
        switch choice >> 4 & 3 {
        case 0: list.append(type, number: UInt32(script.byte()))
        case 1: list.append(type, number: script.byte())
        case 2 where depth > 0:
            list.append(type, nested: attributes(&script, depth: depth - 1))
        default: list.append(type, text: String(decoding: script.bytes(3), as: UTF8.self))
        }
    }
    return list
}

// MARK: - Records

/// Reads any text as a record, and writes records with any texts in them. Reading must return what was written.
func fuzzRecord(_ input: [UInt8]) {
    var script = Script(input)
    guard script.byte() & 1 == 0 else {
        let text = String(decoding: script.remainder(), as: UTF8.self)
        guard let record = DiskRecord(text: text, token: "a") else { return }
        precondition(record.supervisor.pid > 0, "a signal to \(record.supervisor.pid)")
        precondition((record.worker?.pid ?? 1) > 0, "a signal to \(record.worker?.pid ?? 0)")
        precondition(record.queues > 0 && record.madeDirectories >= 0, "a count below zero")
        precondition(DiskRecord(text: record.text, token: "a") == record, "a record changes")
        return
    }
    func text(_ prefix: String = "/") -> String {
        prefix + String(decoding: script.bytes(Int(script.byte() & 31)), as: UTF8.self)
    }
    var record = DiskRecord(
        supervisor: ProcessIdentity(pid: 1 + Int32(script.byte()), start: script.wide()), token: "a"
    )
    let shape = script.byte()
    record.size = script.wide()
    record.identifier = text("ramdisk-nbd:")
    if shape & 1 != 0 { record.mountPoint = text() }
    if shape & 2 != 0 { record.image = text() }
    if shape & 4 != 0 { record.log = text() }
    if shape & 8 != 0 { record.remote = text("nbd://") }
    if shape & 16 != 0 {
        record.backing = BackingConfiguration(
            name: text("b"), directory: shape & 32 != 0 ? text() : nil, isKept: shape & 64 != 0)
    }
    if shape & 128 != 0 {
        record.failedSave = DiskRecord.FailedSave(count: Int(shape), sentence: text("it "))
    }
    precondition(
        DiskRecord(text: record.text, token: "a") == record, "\(record) becomes \(record.text)")
}

// MARK: - Messages between supervisor and worker

/// Decodes any bytes as messages, and encodes what they mean.
func fuzzWorkerMessage(_ input: [UInt8]) {
    var script = Script(input)
    while !script.isOver {
        let letter = script.byte()
        let bytes = [letter] + script.bytes(Int(script.byte()))
        guard let message = WorkerMessage(decoding: bytes) else { continue }
        precondition(message.encoded.count <= DescriptorChannel.longestMessage, "a long message")
        precondition(WorkerMessage(decoding: message.encoded) == message, "\(message) changes")
    }
}

// MARK: - Configuration files

private let options = #"""
    {"command": {"arguments": [
    {"kind": "option", "isRepeating": false, "shouldDisplay": true,
     "names": [{"kind": "long", "name": "size"}]},
    {"kind": "option", "isRepeating": true, "shouldDisplay": true,
     "names": [{"kind": "short", "name": "l"}, {"kind": "long", "name": "listen"}]},
    {"kind": "option", "isRepeating": false, "shouldDisplay": true,
     "names": [{"kind": "long", "name": "image"}], "completionKind": {"file": {"extensions": []}}},
    {"kind": "flag", "isRepeating": false, "shouldDisplay": true,
     "names": [{"kind": "long", "name": "daemon"}]}]}}
    """#

private let commands: [ConfigurableCommand] = ["up", "serve"].map { name in
    do {
        return try ConfigurableCommand(name, help: options) { arguments in
            arguments.contains("--size=0") ? "the size\nis 0" : nil
        }
    } catch {
        fatalError("the description of options cannot be read: \(error)")
    }
}

/// Reads any text as a configuration file.
func fuzzConfiguration(_ input: [UInt8]) {
    Scratch.write(input, to: "disk.toml")
    let lineCount = input.count { $0 == UInt8(ascii: "\n") } + 1
    do throws(ConfigurationProblems) {
        let file = try ConfigurationFile(path: Scratch.path("disk.toml"), commands: commands)
        precondition(commands.contains { $0.name == file.arguments.first }, "the command")
        precondition(
            file.arguments.dropFirst().allSatisfy { $0.isEmpty || $0.hasPrefix("--") },
            "an argument that is not an option: \(file.arguments)")
    } catch {
        precondition(!error.problems.isEmpty, "an error without a problem")
        for problem in error.problems {
            precondition(!problem.message.isEmpty && !problem.message.contains("\n"), "the message")
            precondition((1...lineCount).contains(problem.line ?? 1), "line \(problem)")
        }
    }
}
