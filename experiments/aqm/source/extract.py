"""The queue disciplines' own functions and structures, out of a kernel tree. Pure but for files."""

from __future__ import annotations

import re
from pathlib import Path

from testbed.errors import UserError

_PIE = ("pie_drop_early", "pie_qdisc_enqueue", "pie_process_dequeue", "pie_calculate_probability")
_FQ = ("dequeue_head", "flow_queue_add", "fq_codel_drop", "fq_codel_enqueue", "dequeue_func")
_DUAL_FIRST = ("dualpi2_sojourn_time", "head_enqueue_time", "skb_in_l_queue", "skb_apply_step")
_DUAL = (
    "dualpi2_mark",
    "dualpi2_scale_alpha_beta",
    "dualpi2_reset_c_protection",
    "dualpi2_calculate_c_protection",
    "dualpi2_roll",
    "dualpi2_classic_marking",
    "dualpi2_scalable_marking",
    "must_drop",
    "dualpi2_enqueue_skb",
    "dequeue_packet",
    "do_step_aqm",
    "drop_and_retry",
    "__dualpi2_qdisc_dequeue",
    "__scale_delta",
    "get_queue_delays",
    "calculate_probability",
)
# Both disciplines call their scale MAX_PROB; DualPI2's helpers for its control block are one line.
_DUAL_HELPERS = """
#undef MAX_PROB
static struct dualpi2_skb_cb *dualpi2_skb_cb(struct sk_buff *skb)
{
    return (struct dualpi2_skb_cb *)skb->private;
}
#define skb_is_l4s(skb) (dualpi2_skb_cb(skb)->classified == DUALPI2_C_L4S)
"""


def kernel_functions(kernel: Path) -> str:
    """C for kernel.inc. Raises UserError for a tree that lacks one of them."""

    def read(path: str) -> str:
        try:
            text = (kernel / path).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{kernel / path}: {error.strerror}; give a kernel tree") from error
        return re.sub(r"^#include.*\n", "", text, flags=re.MULTILINE)

    pie, fair = read("net/sched/sch_pie.c"), read("net/sched/sch_fq_codel.c")
    dual = read("net/sched/sch_dualpi2.c")
    # Marking above a threshold, off by default, looks into headers that an item does not have.
    codel = re.sub(
        r"\tif \(skb && codel_time_after\(vars->ldelay, params->ce_threshold\)\) \{.*?\n\t\}\n",
        "",
        read("include/net/codel_impl.h"),
        flags=re.DOTALL,
    )
    parts = [
        _without_prototypes(read("include/net/pie.h")),
        _structure(pie, "pie_sched_data"),
        *(_function(pie, name) for name in (*_PIE, "pie_qdisc_dequeue")),
        read("include/net/codel.h"),
        read("include/net/codel_qdisc.h"),
        codel,
        *(_structure(fair, name) for name in ("fq_codel_flow", "fq_codel_sched_data")),
        *(_function(fair, name) for name in (*_FQ, "drop_func", "__fq_codel_dequeue")),
        _DUAL_HELPERS.split("static")[0],
        *re.findall(r"^#define (?:MAX_PROB|ALPHA_BETA\w*|MAX_WC)\b.*\n", dual, re.MULTILINE),
        _structure(dual, "dualpi2_sched_data"),
        _structure(dual, "dualpi2_skb_cb"),
        _structure(dual, "dualpi2_classification_results"),
        "static" + _DUAL_HELPERS.split("static")[1],
        *(_function(dual, name) for name in (*_DUAL_FIRST, *_DUAL)),
    ]
    return "\n".join(parts)


def _without_prototypes(text: str) -> str:
    return re.sub(r"^(?:bool|void) pie_\w+\([^;{]*\);\n", "", text, flags=re.MULTILINE)


def _function(text: str, name: str) -> str:
    pattern = rf"^(?:[a-z_]\w*[ \t*]+)+{name}\([^;{{]*?\)\n\{{\n.*?^\}}\n"
    return _found(text, pattern, name)


def _structure(text: str, name: str) -> str:
    return _found(text, rf"^(?:struct|enum) {name} \{{\n.*?^\}}[^;\n]*;", name)


def _found(text: str, pattern: str, name: str) -> str:
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise UserError(f"{name} is not where Linux 7.3 has it; give a kernel tree near that")
    return f"{match[0]}\n"
