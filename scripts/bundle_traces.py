"""Write the bundled traces anew from traces/bundled/index.json."""

from __future__ import annotations

from traces import save
from traces.bundled import index


def main() -> None:
    for entry in index().values():
        trace = entry.regenerate()
        save(trace, entry.path)
        print(
            f"{entry.file}: {trace.mean_bps() / 1e6:.2f} Mbit/s, {entry.path.stat().st_size:,} "
            "bytes"
        )


if __name__ == "__main__":
    main()
