import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "proto" / "phoebe_proto" / "v1"


def generated_files(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.glob("*_pb2*")}


def test_the_generated_code_is_what_the_wire_contract_generates(tmp_path: Path) -> None:
    subprocess.run(["sh", "scripts/generate-proto", tmp_path], cwd=ROOT, check=True, timeout=120)

    generated = generated_files(tmp_path / "phoebe_proto" / "v1")
    assert len(generated) == 8
    assert generated == generated_files(COMMITTED), "run `make proto`"
