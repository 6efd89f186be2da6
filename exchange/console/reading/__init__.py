"""What the pages show, as values: read from the views and the topics, one module a page or part of one."""
