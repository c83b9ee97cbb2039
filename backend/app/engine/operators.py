"""Which operators a stranger's model may use: an allow-list.

Those of the ONNX standard, and of ONNX Runtime's own those that compute on the CPU and
nothing else. Left out on purpose: what names files or devices (EPContext, Snpe), what
copies between devices, and the layouts that ONNX Runtime makes for one processor and
trusts when it meets them again (com.microsoft.nchwc).
"""

from collections.abc import Collection

from onnx import ModelProto, NodeProto, defs

from app.engine.graph_walk import all_graphs
from app.errors import InvalidModel

STANDARD = ("ai.onnx", "ai.onnx.ml")
CONTRIBUTED = "com.microsoft"
DOMAINS = (*STANDARD, CONTRIBUTED)
_RUNTIMES_OWN = ("com.microsoft", "com.ms.")

# In the standard's domain too: what it once had on trial, and what ONNX Runtime's
# optimiser writes there.
_FORMER_NAMES = """
    Affine Crop DynamicSlice ImageScaler ParametricSoftplus Scale ScaledTanh
    SimplifiedLayerNormalization
"""
_FORMER = frozenset(_FORMER_NAMES.split())
_CONTRIBUTED_NAMES = """
    Attention AttnLSTM BeamSearch BiasGelu BifurcationDetector BranchwiseRMSNorm CDist
    CausalConvWithState ConvTransposeWithDynamicPads CropAndResize
    DecoderMaskedMultiHeadAttention DequantizeLinear DynamicQuantizeLSTM
    DynamicQuantizeMatMul DynamicTimeWarping EmbedLayerNormalization EngramGate
    ExpandDims FastGelu FusedConv FusedGemm FusedMatMul GatedAdd GatedDeltaNet
    GatedRMSNorm GatherBlockQuantized GatherND GatherPacked Gelu GreedySearch GridSample
    GroupQueryAttention HyperConnectionPostMix HyperConnectionPreMix Inverse
    LinearAttention LinearAttentionGate MRotaryEmbedding MatMulBnb4 MatMulFpQ4
    MatMulInteger16 MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MoE MoEGroupRouter
    MultiHeadAttention MurmurHash3 NGramHashMapping NGramRepeatBlock NhwcMaxPool Pad
    QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat
    QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid
    QLinearSoftmax QLinearWhere QMoE QuantizeLinear QuickGelu Range RotaryEmbedding
    Sampling ScaledSiLU SkipLayerNormalization SkipSimplifiedLayerNormalization
    SparseAttention SparseToDenseMatMul Tokenizer TransposeMatMul Trilu UnfoldTensor
    Unique VarlenCausalConvWithState VarlenNGramHashMapping WhisperBeamSearch
    WordConvEmbedding
"""
CONTRIBUTED_OPERATORS = frozenset(_CONTRIBUTED_NAMES.split())


def check_operators(model: ModelProto, domains: Collection[str]) -> None:
    """InvalidModel for one that is not allowed; `domains` are some of DOMAINS.

    A model's own functions are allowed, in domains of their own.
    """
    own = {(_domain(item.domain), item.name) for item in model.functions}
    _check_own(own)
    allowed = set(own)
    for graph in all_graphs(model):
        for node in graph.node:
            operator = (_domain(node.domain), node.op_type)
            if operator not in allowed:
                _check(node, domains)
                allowed.add(operator)


def _check_own(own: Collection[tuple[str, str]]) -> None:
    """None may pass for an operator of the runtime's, which may be what is run."""
    for domain, name in own:
        is_standard = domain in STANDARD and defs.has(name, _registered(domain))
        if is_standard or domain.startswith(_RUNTIMES_OWN):
            raise InvalidModel(
                f"this model has a function {name[:80]} in the domain {domain[:80]}, where "
                "the runtime's operators are; export it with functions in domains of "
                "their own"
            )


def _check(node: NodeProto, domains: Collection[str]) -> None:
    domain = _domain(node.domain)
    if domain not in domains:
        raise InvalidModel(
            f"this model has the operator {node.op_type[:80]} of the domain "
            f'"{domain[:80]}"; operators of {", ".join(sorted(domains))} are allowed'
        )
    if not _is_known(domain, node.op_type):
        raise InvalidModel(
            f"this model has the operator {node.op_type[:80]}, which is none of those "
            f"of {domain} that are allowed; export it with operators of the ONNX standard"
        )


def _is_known(domain: str, name: str) -> bool:
    if domain == CONTRIBUTED:
        return name in CONTRIBUTED_OPERATORS
    is_former = domain == "ai.onnx" and name in _FORMER
    return is_former or defs.has(name, _registered(domain))


def _domain(name: str) -> str:
    return name or "ai.onnx"


def _registered(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
