import ProgramSupport
import Testing

@Suite("A table") struct TextTableTests {
    private let table = TextTable(
        [.left("NAME"), .right("SIZE"), .left("KIND")],
        rows: [["a", "4096", "sparse"], ["longer", "1", ""]])

    @Test("has columns as wide as their widest cell, and no trailing spaces")
    func whole() {
        #expect(
            table.text == """
                NAME    SIZE  KIND
                a       4096  sparse
                longer     1

                """)
        #expect(table.parts(width: 20) == [table.text])
    }

    @Test("continues below in parts that repeat the first column")
    func parts() {
        let parts = [
            """
            NAME    SIZE
            a       4096
            longer     1

            """,
            """
            NAME    KIND
            a       sparse
            longer

            """,
        ]
        #expect(table.parts(width: 19) == parts)
        #expect(table.parts(width: 1) == parts)
    }

    @Test("of one column has one part")
    func oneColumn() {
        #expect(TextTable([.left("A")], rows: [["b"]]).parts(width: 80) == ["A\nb\n"])
    }
}
