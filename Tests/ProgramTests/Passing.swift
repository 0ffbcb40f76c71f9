/// A shell's command that starts the server with listening sockets: an address in brackets is a TCP one
/// with any free port, of both families if it is IPv6; anything else is a Unix socket's path.
func passing(_ sockets: String..., names: String = "", to process: String = "os.getpid()") -> String
{
    let list = sockets.map { "'\($0)'" }.joined(separator: ", ")
    return """
        exec python3 -c "
        import os, socket, sys
        sockets = []
        for name in [\(list)]:
            if name.startswith('['):
                s = socket.socket(socket.AF_INET6)
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                s.bind((name[1:-1], 0))
            else:
                s = socket.socket(socket.AF_UNIX)
                s.bind(name.replace('@', chr(0)))
            s.listen()
            sockets.append(s)
        copies = [os.dup(s.fileno()) for s in sockets]
        copies = [os.dup2(os.dup(c), 100 + i) for i, c in enumerate(copies)]
        for i, c in enumerate(copies):
            os.dup2(c, 3 + i)
        os.environ['LISTEN_PID'] = str(\(process))
        os.environ['LISTEN_FDS'] = str(len(sockets))
        os.environ['LISTEN_FDNAMES'] = '\(names)'
        os.execv(sys.argv[1], sys.argv[1:])
        " "$@"
        """
}
