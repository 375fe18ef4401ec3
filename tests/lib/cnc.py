"""Read counters from a driver's cnc.dat (shared-memory.md 2.1, 2.5, 2.6)."""

import collections
import mmap
import os
import struct

VERSION = 512
HEADER_LENGTH, METADATA_LENGTH, VALUE_LENGTH, LABEL_OFFSET = 128, 512, 128, 132

Counter = collections.namedtuple("Counter", "id type key label value registration owner")


class Cnc:
    """One look at the file of a driver; OSError or ValueError while there is none to look at."""

    def __init__(self, directory):
        with open(os.path.join(directory, "cnc.dat"), "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        try:
            (version, to_driver, to_clients, metadata, values, _, _, self.start_ms,
             self.pid) = struct.unpack_from("<iiiiiiqqq", self._map, 0)
            if version != VERSION:
                raise ValueError("cnc.dat has version %d" % version)
            self._metadata = HEADER_LENGTH + to_driver + to_clients
            self._values = self._metadata + metadata
            self._count = values // VALUE_LENGTH
        except (struct.error, ValueError):
            self._map.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._map.close()

    def set(self, counter, value):
        """As a tool sets a control toggle."""
        struct.pack_into("<q", self._map, self._values + counter.id * VALUE_LENGTH, value)

    def counters(self):
        """The allocated counters by ascending id."""
        for number in range(self._count):
            at = self._metadata + number * METADATA_LENGTH
            state, kind = struct.unpack_from("<ii", self._map, at)
            if state == 0:
                return
            if state == 1:
                length, = struct.unpack_from("<i", self._map, at + LABEL_OFFSET - 4)
                label = self._map[at + LABEL_OFFSET:at + LABEL_OFFSET + length]
                value, registration, owner = struct.unpack_from(
                    "<qqq", self._map, self._values + number * VALUE_LENGTH)
                yield Counter(number, kind, self._map[at + 16:at + 128],
                              label.decode("ascii", "replace"), value, registration, owner)
