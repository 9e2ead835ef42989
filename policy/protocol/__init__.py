"""The gRPC protocol between agents and the policy server, generated from `policy.proto` by
`scripts/protoc.sh`.
"""

VERSION = 1
"""`Hello.version` of this code."""
