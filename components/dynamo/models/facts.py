"""What is known of a model before it is loaded: its size, its shape, its number format."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...spec import Model

Format = Literal["bf16", "fp16", "fp8", "fp8Block", "nvfp4", "mxfp4", "int4", "int8"]
"""Number format of the quantised weights. `fp8Block` has a scale for each block of 128 by 128 (DeepSeek's own)."""

_Count = Annotated[int, Field(ge=1, le=10**15)]
_CountOrNone = Annotated[int, Field(ge=0, le=10**15)]


class ModelFacts(Model):
    """Facts of a model, from its `config.json`. `make model` writes them; a known repository needs none."""

    parameters: _Count
    """Weights in total, without layers for speculation that engines leave out unless told."""
    active_parameters: _Count | None = None
    """Weights that one token passes through, where the model has experts."""
    weight_bytes: _Count
    """Bytes that all GPUs of a worker hold of it together."""
    expert_bytes: _CountOrNone = 0
    """Of those, the bytes of routed experts, which are spread over more GPUs than the rest."""
    whole_bytes: _CountOrNone = 0
    """Of the others, the bytes that each GPU of a tensor-parallel group holds whole (latent attention has such)."""
    disk_bytes: _Count | None = None
    """Bytes of the weight files, as their index says; what is downloaded."""
    format: Format
    """Number format of most weights."""
    layers: _Count
    """Layers in all."""
    hidden_size: _Count
    """Numbers that pass from layer to layer for each token."""
    attention_heads: _Count
    """Heads of the queries."""
    kv_heads: _Count | None = None
    """Heads of keys and values; not given for latent attention (MLA)."""
    head_size: _Count | None = None
    """Numbers in one head of keys or values; not given for latent attention."""
    keys_only: bool = False
    """Whether the full-attention layers keep one tensor for keys and values together."""
    latent_size: _Count | None = None
    """Numbers that latent attention keeps of a token in each layer, position part included (512 + 64 for DeepSeek-V3)."""
    indexer_size: _Count | None = None
    """Numbers that sparse attention keeps besides, to choose tokens by."""
    kv_layers: _CountOrNone | None = None
    """Layers that keep keys and values of every token; by default all of them."""
    window_layers: _CountOrNone = 0
    """Layers that keep keys and values of the last `window` tokens alone."""
    window: _Count | None = None
    """Tokens that those layers look back."""
    window_kv_heads: _Count | None = None
    """Of those layers, where they differ from the others."""
    window_head_size: _Count | None = None
    """Numbers in one head of those layers, where it differs from the others."""
    state_bytes: _CountOrNone = 0
    """Bytes of recurrent state (Mamba, gated delta net) that each running request keeps, whatever its length."""
    kv_format: Literal["fp8"] | None = None
    """Number format of keys and values that the checkpoint asks for."""
    experts: _CountOrNone = 0
    """Routed experts of a layer; 0 for a dense model."""
    experts_per_token: _CountOrNone = 0
    """Routed experts that one token passes through."""
    expert_width: _Count | None = None
    """Rows between the two matrices of one expert. Checkpoints in `fp8Block` have to be divided into whole blocks of them."""
    vocabulary: _Count
    """Tokens in the vocabulary."""
    context_tokens: _Count
    """Longest context."""
    gated: bool = False
    """Whether the repository needs an accepted licence and so a token."""
    custom_code: bool = False
    """Whether it brings Python of its own, which transformers runs with `--trust-remote-code`."""

    @property
    def full_layers(self) -> int:
        """Layers that keep something of every token."""
        return self.layers - self.window_layers if self.kv_layers is None else self.kv_layers

    @property
    def latent(self) -> bool:
        """Whether its attention is latent (MLA): what is kept of a token then cannot be divided over GPUs."""
        return self.latent_size is not None
