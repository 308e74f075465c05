"""Prompts: one sentence of token embeddings per rank, or rank features without any text.

Imports `text`, `config`, `errors`. A prompt is one module with one class and a yaml in `conf/prompt`; it takes `text`,
`embed_dim` and `rank_names` and implements `model.Prompt`. Sentences are laid out in `sentence`, settings checked in
`checks`.
"""
