"""Every file of a capsule compared with its hash: what was changed, added, removed or renamed."""

import hashlib

from rating.errors import CapsuleError, NewerCapsuleError
from rating.results.capsule_archive import FileFacts
from rating.results.capsule_reading import Capsule, shown
from rating.results.manifest import MANIFEST, SUMS, Manifest, read_manifest, sums


def checked_manifest(capsule: Capsule) -> Manifest | None:
    """Return the manifest, every file compared with it; None where it cannot be read.

    Raises:
        NewerCapsuleError: A newer version of this software wrote the capsule.
    """
    if MANIFEST not in capsule.names:
        capsule.faults.append(f"{MANIFEST}: is missing, so no file can be compared with it.")
        return None
    try:
        content = capsule.text_bytes(MANIFEST)
        manifest = read_manifest(content)
    except NewerCapsuleError:
        raise
    except CapsuleError as error:
        capsule.faults.append(str(error))
        return None
    _check_files(capsule, manifest)
    own = FileFacts(len(content), hashlib.sha256(content).hexdigest())
    capsule.check(SUMS, lambda: _check_sums(capsule, manifest, own))
    return manifest


def _check_files(capsule: Capsule, manifest: Manifest) -> None:
    """Tell every file that was changed, is missing, or does not belong to the capsule."""
    names = capsule.names - {MANIFEST, SUMS}
    missing = {
        manifest.files[name].sha256: name for name in manifest.files if name not in names
    }
    for name in sorted(names):
        try:
            facts = capsule.facts(name)
        except CapsuleError as error:
            capsule.faults.append(str(error))
            continue
        told = manifest.files.get(name)
        if told is None:
            was = missing.get(facts.sha256)
            origin = f"; it has the content of {was}, which is missing" if was else ""
            capsule.faults.append(f"{shown(name)}: does not belong to the capsule{origin}.")
        elif facts != told:
            capsule.faults.append(
                f"{name}: was changed; SHA-256 is {facts.sha256}, the manifest says {told.sha256}."
            )
        else:
            capsule.intact.add(name)
    capsule.faults += [f"{shown(name)}: is missing." for name in sorted(missing.values())]


def _check_sums(capsule: Capsule, manifest: Manifest, own: FileFacts) -> None:
    """Tell where the two lists of hashes differ: one of them was changed."""
    if SUMS not in capsule.names:
        raise CapsuleError(f"{SUMS}: is missing.")
    content = capsule.text_bytes(SUMS)
    expected = sums({**manifest.files, MANIFEST: own})
    if content == expected:
        return
    lines = content.decode("utf-8", errors="replace").splitlines()
    kept = dict(line.split("  ", 1)[::-1] for line in lines if "  " in line)
    if kept.get(MANIFEST) != own.sha256:
        capsule.faults.append(f"{MANIFEST}: was changed; {SUMS} says another SHA-256.")
    others = {line for line in expected.decode("utf-8").splitlines()}
    if any(line not in others and not line.endswith(f"  {MANIFEST}") for line in lines):
        capsule.faults.append(f"{SUMS}: was changed; it departs from {MANIFEST}.")
    elif kept.get(MANIFEST) == own.sha256:
        capsule.faults.append(f"{SUMS}: was changed; lines are missing or in another order.")
