"""A program: how many bytes `xz -9e` adds for each part once it has read what comes before.

The compressor reads the earlier text once; each part then continues a fork of it. It runs in a
process of its own because forking one that has threads, as TensorFlow's, is not safe.
Standard input: a JSON line with the sizes of all pieces, then the pieces, the earlier text first.
Standard output: a JSON list with the bytes that each part adds.
"""

import json
import lzma
import os
import sys

_PIECE = 4096


def main() -> None:
    """Reads the pieces and prints the sizes."""
    stream = sys.stdin.buffer
    before, *parts = (stream.read(size) for size in json.loads(stream.readline()))
    compressor = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    # Encoding lags behind by one piece of input, so small pieces leave little for each fork to
    # repeat. What is already written out is the same for every part: it cancels out.
    for start in range(0, len(before), _PIECE):
        compressor.compress(before[start : start + _PIECE])
    base, *sizes = (_forked_size(compressor, part) for part in [b"", *parts])
    print(json.dumps([size - base for size in sizes]))


def _forked_size(compressor: lzma.LZMACompressor, part: bytes) -> int:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        size = len(compressor.compress(part)) + len(compressor.flush())
        os.write(writer, str(size).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        size = int(answer.read())
    os.waitpid(child, 0)
    return size


if __name__ == "__main__":
    main()
