"""Programs that read a finished export with the target's library alone: none imports polyclip, each runs in a process of its own.

`vectors(folder, captions, pictures)` returns {"text": [caption, dim], "pictures": [picture, dim]}, as far as the export makes them, and
"rewritten", one flag a caption, where the library changes captions before it reads them.
"""
