"""Jobs traffic: a cluster's jobs. All measured flows together are one cluster, with a worker at
each of their ends.
"""

from __future__ import annotations

import pyarrow.parquet as pq

from testbed.traffic.base import FlowSpec
from testbed.traffic.jobs.options import JobsOptions
from testbed.traffic.process import main


class Jobs:
    """See TrafficKind."""

    name = "jobs"
    module = "testbed.traffic.jobs.kind"
    options_model = JobsOptions

    def finish(self, spec: FlowSpec) -> list[str]:
        """See TrafficKind."""
        from testbed.traffic.jobs.logs import path_of

        path = path_of(spec, "jobs")
        if not path.exists():  # of the flow that leads alone
            return []
        done = pq.read_table(path)["done_ns"]
        doubts = []
        if done.null_count:
            doubts.append(
                f"{done.null_count} of {len(done)} jobs were not done at the end and count as if "
                "they had been; give a longer --duration or fewer jobs"
            )
        lost = pq.read_table(path_of(spec, "tasks"))["lost"].to_pylist()
        if any(lost):
            doubts.append(f"a worker ended: {sum(lost)} tasks were run again elsewhere")
        return doubts


KIND = Jobs()


def _send(spec: FlowSpec) -> None:
    from testbed.traffic.jobs.node import run

    run(spec, "sender")


def _receive(spec: FlowSpec) -> None:
    from testbed.traffic.jobs.node import run

    run(spec, "receiver")


if __name__ == "__main__":
    main(sender=_send, receiver=_receive)
