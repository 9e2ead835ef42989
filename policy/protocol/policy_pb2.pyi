from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentMessage(_message.Message):
    __slots__ = ("hello", "state")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    state: StateBatch
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., state: _Optional[_Union[StateBatch, _Mapping]] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("welcome", "decisions", "rejected")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    decisions: DecisionBatch
    rejected: Rejected
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., decisions: _Optional[_Union[DecisionBatch, _Mapping]] = ..., rejected: _Optional[_Union[Rejected, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "agent_id", "policy", "window_ns", "deadline_ns")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_NS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    version: int
    agent_id: str
    policy: str
    window_ns: int
    deadline_ns: int
    def __init__(self, version: _Optional[int] = ..., agent_id: _Optional[str] = ..., policy: _Optional[str] = ..., window_ns: _Optional[int] = ..., deadline_ns: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "policy", "light_tier", "difficult_tier", "max_flows", "max_records", "checkpoints")
    class CheckpointsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LIGHT_TIER_FIELD_NUMBER: _ClassVar[int]
    DIFFICULT_TIER_FIELD_NUMBER: _ClassVar[int]
    MAX_FLOWS_FIELD_NUMBER: _ClassVar[int]
    MAX_RECORDS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    policy: str
    light_tier: str
    difficult_tier: str
    max_flows: int
    max_records: int
    checkpoints: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[int] = ..., policy: _Optional[str] = ..., light_tier: _Optional[str] = ..., difficult_tier: _Optional[str] = ..., max_flows: _Optional[int] = ..., max_records: _Optional[int] = ..., checkpoints: _Optional[_Mapping[str, str]] = ...) -> None: ...

class StateBatch(_message.Message):
    __slots__ = ("sequence", "sent_ns", "opens", "records", "windows", "closes")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    OPENS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    CLOSES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    sent_ns: int
    opens: Opens
    records: AckRecords
    windows: Windows
    closes: Closes
    def __init__(self, sequence: _Optional[int] = ..., sent_ns: _Optional[int] = ..., opens: _Optional[_Union[Opens, _Mapping]] = ..., records: _Optional[_Union[AckRecords, _Mapping]] = ..., windows: _Optional[_Union[Windows, _Mapping]] = ..., closes: _Optional[_Union[Closes, _Mapping]] = ...) -> None: ...

class Opens(_message.Message):
    __slots__ = ("flow", "generation", "open_ns", "objective")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OPEN_NS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    flow: bytes
    generation: bytes
    open_ns: bytes
    objective: bytes
    def __init__(self, flow: _Optional[bytes] = ..., generation: _Optional[bytes] = ..., open_ns: _Optional[bytes] = ..., objective: _Optional[bytes] = ...) -> None: ...

class Closes(_message.Message):
    __slots__ = ("flow", "generation")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    flow: bytes
    generation: bytes
    def __init__(self, flow: _Optional[bytes] = ..., generation: _Optional[bytes] = ...) -> None: ...

class Windows(_message.Message):
    __slots__ = ("flow", "generation", "window", "end_ns")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    flow: bytes
    generation: bytes
    window: bytes
    end_ns: bytes
    def __init__(self, flow: _Optional[bytes] = ..., generation: _Optional[bytes] = ..., window: _Optional[bytes] = ..., end_ns: _Optional[bytes] = ...) -> None: ...

class AckRecords(_message.Message):
    __slots__ = ("flow", "generation", "at_ns", "rtt_us", "srtt_us", "min_rtt_us", "mss_bytes", "cwnd_packets", "inflight_packets", "pacing_rate_bps", "sample_delivered_packets", "sample_interval_us", "acked_bytes", "delivered_bytes", "lost_bytes", "sent_bytes", "retransmitted_bytes", "delivered_packets", "delivered_ce_packets", "ca_state", "flags")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    RTT_US_FIELD_NUMBER: _ClassVar[int]
    SRTT_US_FIELD_NUMBER: _ClassVar[int]
    MIN_RTT_US_FIELD_NUMBER: _ClassVar[int]
    MSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    CWND_PACKETS_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_PACKETS_FIELD_NUMBER: _ClassVar[int]
    PACING_RATE_BPS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_DELIVERED_PACKETS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_INTERVAL_US_FIELD_NUMBER: _ClassVar[int]
    ACKED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_PACKETS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_CE_PACKETS_FIELD_NUMBER: _ClassVar[int]
    CA_STATE_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    flow: bytes
    generation: bytes
    at_ns: bytes
    rtt_us: bytes
    srtt_us: bytes
    min_rtt_us: bytes
    mss_bytes: bytes
    cwnd_packets: bytes
    inflight_packets: bytes
    pacing_rate_bps: bytes
    sample_delivered_packets: bytes
    sample_interval_us: bytes
    acked_bytes: bytes
    delivered_bytes: bytes
    lost_bytes: bytes
    sent_bytes: bytes
    retransmitted_bytes: bytes
    delivered_packets: bytes
    delivered_ce_packets: bytes
    ca_state: bytes
    flags: bytes
    def __init__(self, flow: _Optional[bytes] = ..., generation: _Optional[bytes] = ..., at_ns: _Optional[bytes] = ..., rtt_us: _Optional[bytes] = ..., srtt_us: _Optional[bytes] = ..., min_rtt_us: _Optional[bytes] = ..., mss_bytes: _Optional[bytes] = ..., cwnd_packets: _Optional[bytes] = ..., inflight_packets: _Optional[bytes] = ..., pacing_rate_bps: _Optional[bytes] = ..., sample_delivered_packets: _Optional[bytes] = ..., sample_interval_us: _Optional[bytes] = ..., acked_bytes: _Optional[bytes] = ..., delivered_bytes: _Optional[bytes] = ..., lost_bytes: _Optional[bytes] = ..., sent_bytes: _Optional[bytes] = ..., retransmitted_bytes: _Optional[bytes] = ..., delivered_packets: _Optional[bytes] = ..., delivered_ce_packets: _Optional[bytes] = ..., ca_state: _Optional[bytes] = ..., flags: _Optional[bytes] = ...) -> None: ...

class DecisionBatch(_message.Message):
    __slots__ = ("sequence", "tier", "compute_ns", "flow", "generation", "window", "pacing_rate_bps", "cwnd_packets", "queue_ns", "reasons")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PACING_RATE_BPS_FIELD_NUMBER: _ClassVar[int]
    CWND_PACKETS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    tier: str
    compute_ns: int
    flow: bytes
    generation: bytes
    window: bytes
    pacing_rate_bps: bytes
    cwnd_packets: bytes
    queue_ns: bytes
    reasons: bytes
    def __init__(self, sequence: _Optional[int] = ..., tier: _Optional[str] = ..., compute_ns: _Optional[int] = ..., flow: _Optional[bytes] = ..., generation: _Optional[bytes] = ..., window: _Optional[bytes] = ..., pacing_rate_bps: _Optional[bytes] = ..., cwnd_packets: _Optional[bytes] = ..., queue_ns: _Optional[bytes] = ..., reasons: _Optional[bytes] = ...) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("sequence", "count")
    class CountEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    count: _containers.ScalarMap[str, int]
    def __init__(self, sequence: _Optional[int] = ..., count: _Optional[_Mapping[str, int]] = ...) -> None: ...

class LevelRequest(_message.Message):
    __slots__ = ("policy", "chunk_ms", "bitrates_kbps", "sizes_bytes", "qoe", "quality", "chunk", "level", "buffer_ms", "buffer_cap_ms", "size_bits", "download_ms", "latency_ms")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHUNK_MS_FIELD_NUMBER: _ClassVar[int]
    BITRATES_KBPS_FIELD_NUMBER: _ClassVar[int]
    SIZES_BYTES_FIELD_NUMBER: _ClassVar[int]
    QOE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    BUFFER_MS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_CAP_MS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BITS_FIELD_NUMBER: _ClassVar[int]
    DOWNLOAD_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    policy: str
    chunk_ms: float
    bitrates_kbps: bytes
    sizes_bytes: bytes
    qoe: str
    quality: bytes
    chunk: int
    level: int
    buffer_ms: float
    buffer_cap_ms: float
    size_bits: bytes
    download_ms: bytes
    latency_ms: bytes
    def __init__(self, policy: _Optional[str] = ..., chunk_ms: _Optional[float] = ..., bitrates_kbps: _Optional[bytes] = ..., sizes_bytes: _Optional[bytes] = ..., qoe: _Optional[str] = ..., quality: _Optional[bytes] = ..., chunk: _Optional[int] = ..., level: _Optional[int] = ..., buffer_ms: _Optional[float] = ..., buffer_cap_ms: _Optional[float] = ..., size_bits: _Optional[bytes] = ..., download_ms: _Optional[bytes] = ..., latency_ms: _Optional[bytes] = ...) -> None: ...

class Level(_message.Message):
    __slots__ = ("level", "policy", "compute_ns")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    level: int
    policy: str
    compute_ns: int
    def __init__(self, level: _Optional[int] = ..., policy: _Optional[str] = ..., compute_ns: _Optional[int] = ...) -> None: ...

class ClusterRequest(_message.Message):
    __slots__ = ("policy", "observation")
    class ObservationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    policy: str
    observation: _containers.ScalarMap[str, bytes]
    def __init__(self, policy: _Optional[str] = ..., observation: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("stage", "executors", "policy", "compute_ns")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    stage: int
    executors: int
    policy: str
    compute_ns: int
    def __init__(self, stage: _Optional[int] = ..., executors: _Optional[int] = ..., policy: _Optional[str] = ..., compute_ns: _Optional[int] = ...) -> None: ...
