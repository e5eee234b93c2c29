"""What identifies a model: its trained tensors and what they were trained on, however the file that holds them is laid
out. Without torch.
"""

import hashlib
import json
import mmap
from pathlib import Path

from polyclip.core.json import parse_json
from polyclip.core.storage import hash_parts
from polyclip.core.tensor_files import LENGTH
from polyclip.errors import WeightsError


def hash_model(path: Path) -> str:
    """Hash the tensors and the metadata of an `aligner.safetensors` by name.

    Equal models have equal hashes; the SHA-256 of their files may differ, by the order of what they hold.

    Args:
        path: The file.

    Returns:
        Hex digits.

    Raises:
        WeightsError: It is damaged, or cannot be read.

    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            start = LENGTH + int.from_bytes(whole[:LENGTH], "little")
            if start > len(whole):
                raise ValueError(f"its header of {start - LENGTH:,} bytes is longer than the file")
            header = parse_json(whole[LENGTH:start])
            parts = [json.dumps(header.pop("__metadata__", {}), sort_keys=True)]
            for name, facts in sorted(header.items()):
                first, last = facts["data_offsets"]
                if not 0 <= first <= last <= len(whole) - start:
                    raise ValueError(f"tensor {name} lies outside the file")
                data = hashlib.sha256(memoryview(whole)[start + first : start + last]).hexdigest()
                parts += [name, str(facts["dtype"]), str(facts["shape"]), data]
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged or truncated ({error}); copy it again or align again.") from error
    return hash_parts(*parts)
