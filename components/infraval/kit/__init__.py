"""Everything to serve a model that was blessed, and labels moved in its config: `infraval kit`, `infraval label`.

`source` finds the versions of a model, `files` makes the files of a kit from them, `writing` puts these on disk.
`labels` edits a config, by the spans that `text_format` finds in it, and `moving` does so under a running server.
"""
