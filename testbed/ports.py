"""TCP and UDP ports of measured flows. Agent and link logs tell flows apart by them."""

from __future__ import annotations

from agent.batch import FIRST_FLOW_PORT

SENDER_PORT = FIRST_FLOW_PORT
"""Local port of flow 0's sender; the flow's number is added."""
RECEIVER_PORT = 5_000
"""Port that flow 0's receiver listens on; the flow's number is added."""
CLIENT_PORTS = (20_000, 29_999)
"""First and last port of receivers that connect to their sender, a browser among them."""
MAX_FLOWS = 20_000
"""Flow numbers lie below this; so the agent's range of ports ends at SENDER_PORT + MAX_FLOWS."""
