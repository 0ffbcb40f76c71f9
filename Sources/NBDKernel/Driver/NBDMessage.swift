internal import LinuxIO
internal import NBDProtocol

/// Encodes commands to the driver and decodes its replies, without input or output.
enum NBDMessage {
    static func connect(
        _ sockets: [SocketHandle], _ device: NBDDevice?, _ options: NBDDeviceOptions
    ) -> GenericNetlinkMessage {
        var attributes = NetlinkAttributes()
        if let device { attributes.append(NBDAttribute.index, number: device.index) }
        attributes.append(NBDAttribute.size, number: options.size)
        attributes.append(NBDAttribute.blockSize, number: options.blockSize)
        attributes.append(NBDAttribute.serverFlags, number: UInt64(options.flags.rawValue))
        attributes.append(timeoutsAndBackend: options)
        attributes.append(sockets: sockets)
        return GenericNetlinkMessage(command: NBDCommand.connect, attributes: attributes)
    }

    /// Leaves size and flags out: the kernel would treat a size as a new one, and accepts no new flags.
    static func reconfigure(
        _ sockets: [SocketHandle], _ device: NBDDevice, _ options: NBDDeviceOptions
    ) -> GenericNetlinkMessage {
        var attributes = NetlinkAttributes()
        attributes.append(NBDAttribute.index, number: device.index)
        attributes.append(timeoutsAndBackend: options)
        attributes.append(sockets: sockets)
        return GenericNetlinkMessage(command: NBDCommand.reconfigure, attributes: attributes)
    }

    static func disconnect(_ device: NBDDevice) -> GenericNetlinkMessage {
        var attributes = NetlinkAttributes()
        attributes.append(NBDAttribute.index, number: device.index)
        return GenericNetlinkMessage(command: NBDCommand.disconnect, attributes: attributes)
    }

    static var status: GenericNetlinkMessage { GenericNetlinkMessage(command: NBDCommand.status) }

    /// Returns the device in the reply to a connect, or nil if the reply is malformed.
    static func device(in replies: [GenericNetlinkMessage]) -> NBDDevice? {
        guard let reply = replies.first, reply.command == NBDCommand.connect,
            let attributes = NetlinkAttribute.parse(reply.attributes),
            let index: UInt32 = attributes[type: NBDAttribute.index]?.number()
        else { return nil }
        return NBDDevice(index: index)
    }

    /// Returns the devices in the reply to a status, or nil if the reply is malformed.
    static func devices(in replies: [GenericNetlinkMessage]) -> [NBDDevice: Bool]? {
        guard let reply = replies.first, reply.command == NBDCommand.status,
            let attributes = NetlinkAttribute.parse(reply.attributes),
            let items = attributes[type: NBDAttribute.devices]?.nested
        else { return nil }
        var devices: [NBDDevice: Bool] = [:]
        for item in items where item.type == NBDDeviceItem.item {
            guard let parts = item.nested,
                let index: UInt32 = parts[type: NBDDeviceItem.index]?.number(),
                let connected: UInt8 = parts[type: NBDDeviceItem.connected]?.number()
            else { return nil }
            devices[NBDDevice(index: index)] = connected != 0
        }
        return devices
    }
}

extension NetlinkAttributes {
    fileprivate mutating func append(timeoutsAndBackend options: NBDDeviceOptions) {
        append(NBDAttribute.timeout, number: options.requestTimeout)
        append(NBDAttribute.deadConnectionTimeout, number: options.deadConnectionTimeout)
        if let backend = options.backend { append(NBDAttribute.backend, text: backend) }
    }

    fileprivate mutating func append(sockets: [SocketHandle]) {
        var list = NetlinkAttributes()
        for socket in sockets {
            var item = NetlinkAttributes()
            item.append(NBDSocketItem.descriptor, descriptorOf: socket)
            list.append(NBDSocketItem.item, nested: item)
        }
        append(NBDAttribute.sockets, nested: list)
    }
}
