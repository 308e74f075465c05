"""Parts of a prediction put together: one .csv or .parquet of predictions, and a list of images that are broken."""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FORMATS = (".csv", ".parquet")


def write_predictions(parts: Iterator[pd.DataFrame], out: Path, listed: Path) -> tuple[int, int]:
    """Writes predictions and, where there are any, a list of images that have none.

    Args:
        parts: from `parts_of`; held one at a time.
        out: a .csv or .parquet of predictions.
        listed: a .csv of the others; like `out` it is replaced when it is complete, and removed where it lists none.

    Returns:
        How many images were predicted, and how many are broken.
    """
    draft, broken_draft = (file.with_name(f".{file.name}.part") for file in (out, listed))
    done = broken = 0
    begun = False
    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            wrong = part["error"].notna()
            if wrong.any():
                rows = part.loc[wrong, ["path", "error"]]
                rows.to_csv(broken_draft, mode="a" if broken else "w", header=broken == 0, index=False)
                broken += len(rows)
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
    if broken:
        os.replace(broken_draft, listed)
    else:
        listed.unlink(missing_ok=True)
    return done, broken
