"""The ``tbtest`` command line: one file per command, loaded when it is asked for."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from testbed import errors
from testbed.cli.output import abandon, flush, make_safe
from testbed.errors import UserError

# Command -> its module in this package. Modules are imported late so that `tbtest --help` needs
# neither torch nor root.
_COMMANDS = {
    "run": "run",
    "suite": "suite",
    "stress": "stress",
    "report": "report",
    "compare": "report",
    "diagnose": "diagnose",
    "explain": "explain",
    "export": "export",
    "shell": "shell",
    "traces": "traces",
    "topologies": "topologies",
    "policies": "policies",
    "doctor": "doctor",
    "clean": "clean",
    "serve": "serve",
    "collect": "collect",
    "league": "league",
    "train": "train",
    "models": "models",
    "abr": "abr",
    "cjs": "cjs",
}

# The extra `policy`: training, export and CUDA need it, testbed and server do not.
_OF_EXTRA = frozenset(
    {"accelerate", "gguf", "onnx", "onnxscript", "peft", "safetensors", "torch", "transformers"}
)


class _LateGroup(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with its whole first sentence; Click would cut it at the line's end."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(limit=1000))
                    for name, command in commands
                    if command
                ]
            )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"testbed.cli.{_COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=_LateGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="tbtest", prog_name="tbtest")
def cli() -> None:
    """A testbed for learned congestion control on live Linux TCP.

    Builds a network out of Linux namespaces, replays recorded bandwidth on its bottleneck, runs
    real traffic under several congestion controllers side by side, and reports video stall rate,
    throughput and delay.

    \b
    Compare the kernel's controllers on a bundled trace:
        tbtest run --topology dumbbell
    The same on your own trace, with bulk traffic and enough repeats for confidence intervals:
        tbtest run --trace my.trace --flow bulk --duration 60s --repeats 5
    See what this machine can and cannot do:
        tbtest doctor

    Every run writes a folder; `tbtest report` rebuilds its tables and report.html on any machine.
    """


def _is_user_error(error: BaseException) -> bool:
    """Whether ``error`` is one that a user can mend: testbed's, or the error class of a package
    below it.
    """
    own = type(error).__module__.partition(".")[0] in {
        "traces",
        "analysis",
        "agent",
        "policy",
        "topologies",
        "plugins",
        "settings",
        "testbed",
    }
    return isinstance(error, UserError) or (own and isinstance(error, ValueError))


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and status 2, an interrupt is status
    130.
    """
    make_safe()
    try:
        cli(standalone_mode=False)
        flush()
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"tbtest: {error.format_message()}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("tbtest: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        abandon()
        sys.exit(141)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            text = errors.explain(error)
        elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Of a file that has no name here: standard output, written to a full disk.
            abandon()
            text = errors.explain(error, "standard output")
        elif _is_user_error(error):
            text = str(error)
        elif isinstance(error, ModuleNotFoundError) and error.name in _OF_EXTRA:
            text = f"this needs {error.name}: pip install 'tbtest[policy]'; in a clone: make policy"
        else:
            raise
        click.echo(f"tbtest: {text}", err=True)
        sys.exit(2)
