"""Text encoders as chains of layers (`polyclip.models.trunk`)."""

from typing import Any

from torch import Tensor, nn

from polyclip.models.attention import use_short_attention
from polyclip.models.trunk import State


class Bert:
    """BERT, RoBERTa, XLM-R and their kind in transformers: post-LN layers, no final norm."""

    kind = "tokens"
    final_norm = None

    def __init__(self, model: Any) -> None:
        use_short_attention(model)
        self.model = model
        self.width, self.heads, self.inner = (
            model.config.hidden_size,
            model.config.num_attention_heads,
            model.config.intermediate_size,
        )

    @property
    def layers(self) -> Any:
        """The layers, a ModuleList."""
        return self.model.encoder.layer

    @property
    def opening(self) -> list[nn.Parameter]:
        """Token, position and type embeddings, and their norm."""
        return list(self.model.embeddings.parameters())

    def begin(self, inputs: State) -> State:
        """Embed the tokens with their positions."""
        return {"hidden": self.model.embeddings(input_ids=inputs["input_ids"]), "mask": inputs["attention_mask"]}

    def step(self, number: int, state: State) -> State:
        """Apply one transformer layer."""
        hidden = self.layers[number](state["hidden"], attention_bias(self.model.config, state))
        return state | {"hidden": hidden}

    def end(self, state: State) -> State:
        """No-op: this architecture has no final LayerNorm."""
        return state


class M2M:
    """The encoder of M2M-100 and NLLB: pre-LN layers and a final norm."""

    kind = "tokens"

    def __init__(self, model: Any) -> None:
        use_short_attention(model)
        self.model = model
        self.width, self.heads, self.inner = (
            model.config.d_model,
            model.config.encoder_attention_heads,
            model.config.encoder_ffn_dim,
        )

    @property
    def layers(self) -> Any:
        """The layers, a ModuleList."""
        return self.model.layers

    @property
    def opening(self) -> list[nn.Parameter]:
        """The embedding matrix; positions are computed."""
        return list(self.model.embed_tokens.parameters())

    @property
    def final_norm(self) -> nn.Module:
        """The LayerNorm after the last layer."""
        return self.model.layer_norm

    def begin(self, inputs: State) -> State:
        """Scaled token embeddings plus sinusoidal positions."""
        tokens = self.model.embed_tokens(inputs["input_ids"])
        return {
            "hidden": tokens + self.model.embed_positions(inputs["input_ids"], tokens).to(tokens.device),
            "mask": inputs["attention_mask"],
        }

    def step(self, number: int, state: State) -> State:
        """Apply one transformer layer."""
        return state | {"hidden": self.layers[number](state["hidden"], attention_bias(self.model.config, state))}

    def end(self, state: State) -> State:
        """Apply the final LayerNorm."""
        return state | {"hidden": self.model.layer_norm(state["hidden"])}


def attention_bias(config: Any, state: State) -> Tensor | None:
    """Attention mask of transformers' layers that hides padding, or the other captions of a row."""
    if "alike" in state:
        return state["alike"]
    from transformers.masking_utils import create_bidirectional_mask

    bias: Tensor | None = create_bidirectional_mask(
        config=config, inputs_embeds=state["hidden"], attention_mask=state["mask"]
    )
    return bias
