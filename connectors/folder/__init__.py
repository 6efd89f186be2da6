"""The folder connector: a file dropped is a document sent; what arrives lies there as files."""
