"""Programs that read an export with the target's library alone; none imports polyclip, each runs in a process of its
own.

`encode(folder, captions, images)` returns {"text": [caption, dim], "pictures": [image, dim]}, as far as the export
makes them, and
"rewritten", one flag per caption, where the library changes captions before it reads them.
"""
