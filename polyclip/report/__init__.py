"""Reports: from a result to tables, pages and files."""
