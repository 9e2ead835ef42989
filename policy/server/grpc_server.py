"""The policy server's gRPC edge: its services, bound to an address, from start to drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from policy.api import Policy
from policy.protocol import policy_pb2 as pb
from policy.server import listen
from policy.server.config import ServerConfig
from policy.server.inputs import InputLog, opened
from policy.server.metrics import Metrics
from policy.server.models import parts
from policy.server.service import PolicyService
from policy.server.single import SingleService, clusters, players

log = logging.getLogger("policy.server.grpc_server")
_SERVICE = pb.DESCRIPTOR.services_by_name["Policy"].full_name


async def serve(config: ServerConfig, tiers: dict[str, Policy]) -> None:
    """Run until SIGTERM or SIGINT. Prints `ready <address>` on stdout when streams are served.

    config, tiers: as `policy.server.models.loaded` gives them. Raises PolicyError if the address
    cannot be used.
    """
    folder, limit_bytes = config.log_inputs, config.log_inputs_mib << 20
    with opened(folder, config.limits.flows, limit_bytes) as inputs:
        await _serve(config, tiers, inputs)


async def _serve(config: ServerConfig, tiers: dict[str, Policy], inputs: InputLog | None) -> None:
    metrics = Metrics()
    service = PolicyService(config, tiers, metrics, listen.token(config), inputs)
    levels = SingleService(
        "abr", players(config.abr, parts(tiers, config, "abr")), service.admit, metrics
    )
    scheduled = clusters(config.schedulers, parts(tiers, config, "cjs"))
    placements = SingleService("schedulers", scheduled, service.admit, metrics)
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    server = grpc.aio.server(options=listen.options(config))
    decide = grpc.stream_stream_rpc_method_handler(
        service.Decide, service.parse, pb.ServerMessage.SerializeToString
    )
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Decide": decide,
        "Choose": grpc.unary_unary_rpc_method_handler(
            levels.answer, response_serializer=pb.Level.SerializeToString
        ),
        "Schedule": grpc.unary_unary_rpc_method_handler(
            placements.answer, response_serializer=pb.Placement.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection(
        (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    for name in (_SERVICE, ""):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    with (
        listen.exporter(config, metrics.registry()) as metrics_address,
        listen.bound(server, config) as address,
    ):
        await server.start()
        # What exists now stays: full collections would pause decisions for it again and again.
        gc.collect()
        gc.freeze()
        print(f"ready {address}", flush=True)
        if metrics_address:
            print(f"metrics {metrics_address}", flush=True)
        keeping = asyncio.create_task(service.keep_state())
        await stop.wait()
        keeping.cancel()
        log.info("draining")
        await healthy.enter_graceful_shutdown()
        await service.drain()
        await server.stop(config.drain_s)
