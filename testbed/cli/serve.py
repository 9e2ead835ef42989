"""``tbtest serve``: run the policy server."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--config",
    type=_FILE,
    help="Settings in YAML; see docs/reference/policy-server.md. Options given here win over it.",
)
@click.option(
    "--listen",
    metavar="unix:PATH|HOST:PORT",
    help=(
        "Where agents connect; default unix:/tmp/tbtest-policy.sock. TCP needs --tls-cert, "
        "--tls-key, --token-file."
    ),
)
@click.option("--tls-cert", type=_FILE, help="Certificate chain (PEM).")
@click.option("--tls-key", type=_FILE, help="Its private key (PEM).")
@click.option("--token-file", type=_FILE, help="File with the bearer token that agents must send.")
@click.option(
    "--light",
    "--policy",
    "light",
    metavar="NAME",
    help="Rule policy that answers first under apc; default persistence.",
)
@click.option(
    "--tiers",
    metavar="TIER[,TIER…]",
    help=(
        "Model tiers to serve; the first takes the difficult flows under apc; 'none': light tiers "
        "alone. Default: llm where it can be loaded."
    ),
)
@click.option(
    "--model", metavar="DIR", help="Checkpoint of the first of --tiers; default: the bundled one."
)
@click.option("--device", help="Where models run: auto, cpu, cuda, …")
@click.option(
    "--metrics",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Prometheus endpoint on 127.0.0.1; 0: any port.",
)
@click.option(
    "--log-inputs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Log each decision with its input there.",
)
def serve(
    config: Path | None,
    listen: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    light: str | None,
    tiers: str | None,
    model: str | None,
    device: str | None,
    metrics: int | None,
    log_inputs: Path | None,
) -> None:
    """Answer agents: decide for their flows, window by window.

    Prints `ready ADDRESS` when it serves. SIGTERM or Ctrl-C ends it after what is under way has
    been answered.

    \b
    For agents on this machine, light rules alone:
        tbtest serve --tiers none
    For agents elsewhere, with the LLM on a GPU and metrics:
        tbtest serve --listen 0.0.0.0:7443 --tls-cert cert.pem --tls-key key.pem \\
                     --token-file token --tiers llm --device cuda --metrics 9100
    """
    from policy.__main__ import run
    from policy.server.config import build, read

    options: dict[str, object] = {
        "listen": listen,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "token_file": token_file,
        "light": light,
        "device": device,
        "metrics": metrics,
        "log_inputs": log_inputs,
    }
    options = {key: value for key, value in options.items() if value is not None}
    if tiers is not None:
        names = [name.strip() for name in tiers.split(",") if name.strip() not in ("", "none")]
        options |= {"difficult": names[0] if names else None, "tiers": names[1:]}
        if model is not None and names:
            options["models"] = {names[0]: model}
    elif model is not None:
        options |= {"difficult": "llm", "models": {"llm": model}}
    run(read(config, options) if config else build(options, "serve"))
