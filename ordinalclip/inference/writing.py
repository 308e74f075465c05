"""Parts of a prediction put together: one .csv or .parquet of predictions, and a list of images that are broken."""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FORMATS = (".csv", ".parquet")


def write_predictions(parts: Iterator[pd.DataFrame], out: Path) -> tuple[int, int]:
    """Writes predictions to `out` and, where there are any, broken images to `<out's stem>-broken.csv`.

    Args:
        parts: from `parts_of`; held one at a time.
        out: a .csv or .parquet; replaced when it is complete.

    Returns:
        How many images were predicted, and how many are broken.
    """
    draft = out.with_name(f".{out.name}.part")
    broken_file = out.with_name(f"{out.stem}-broken.csv")
    broken_file.unlink(missing_ok=True)
    done = broken = 0
    begun = False
    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            wrong = part["error"].notna()
            if wrong.any():
                listed = part.loc[wrong, ["path", "error"]]
                listed.to_csv(broken_file, mode="a", header=broken == 0, index=False)
                broken += len(listed)
            sound = part.loc[~wrong].drop(columns="error")
            if len(sound) == 0:
                continue
            sound = sound.astype({"rank": "int64"})
            if out.suffix == ".csv":
                sound.to_csv(draft, mode="a" if begun else "w", header=not begun, index=False)
            else:
                table = pa.Table.from_pandas(sound, preserve_index=False)
                writer = pq.ParquetWriter(draft, table.schema) if writer is None else writer
                writer.write_table(table.cast(writer.schema))
            begun = True
            done += len(sound)
    finally:
        if writer is not None:
            writer.close()
    if begun:
        os.replace(draft, out)
    return done, broken
