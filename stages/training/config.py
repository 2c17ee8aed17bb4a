"""Settings of the train stage."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Mixture(BaseModel):
    """Extra data trained on beside the trajectories."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: str = Field(min_length=1)
    """JSONL or Parquet with columns `question` (or `prompt`), `response` and, where there are any,
    `images` (or `image`: paths, or structs of bytes and path) and `system`; or a split of the
    built-in world: `world:text`, `world:descriptions`."""
    weight: float = Field(1.0, gt=0)
    """Rows drawn for each trajectory that is trained on: 0.5 with 1,000 trajectories draws 500 in
    every epoch, in a seeded random order, none twice before all were drawn once."""


class Config(BaseModel):
    """Settings of the train stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = (
        "micro_batch_size",
        "pack_length",
        "num_ranks",
        "zero_stage",
        "gradient_checkpointing",
        "checkpoint_every",
        "keep_checkpoints",
    )
    GROWING: ClassVar[tuple[str, ...]] = ()

    objective: Literal["sophia", "sft"] = "sophia"
    """What is minimised: `sophia`, Eq. 7: each response token weighted by its rollout's reward;
    `sft`: every response token alike."""
    batch_size: int = Field(512, ge=1)
    """Trajectories per optimizer step, mixed-in rows included; the last step takes what is left."""
    num_epochs: int = Field(1, ge=1)
    """Passes over the trajectories."""
    learning_rate: float = Field(2e-5, gt=0)
    """Highest learning rate."""
    final_lr_ratio: float = Field(0.25, ge=0, le=1)
    """Learning rate at the end of the cosine, as a part of the highest."""
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    """Part of the steps over which the learning rate rises linearly."""
    weight_decay: float = Field(0.05, ge=0)
    """AdamW's, on matrices; norms and biases have none."""
    gradient_clipping: float = Field(1.0, ge=0)
    """Highest L2 norm of a step's gradient; 0: not clipped."""
    normalize: Literal["token", "trajectory"] = "token"
    """What a step's summed loss is divided by: its response tokens, or its trajectories (Eq. 7)."""
    freeze: tuple[Literal["vision", "projector"], ...] = ("vision", "projector")
    """Parts that are not trained. Only the language model can be, so both belong here."""
    lora_rank: int = Field(0, ge=0)
    """Rank of LoRA's adapters, which then train alone, beside frozen weights; 0: no LoRA, the whole
    language model trains."""
    lora_alpha: int = Field(32, ge=1)
    """LoRA adds B A, times this divided by the rank."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Part of an adapter's inputs that is left out in training."""
    lora_targets: tuple[str, ...] = ()
    """Names of the language model's linear layers that get adapters, such as q_proj; none: all."""
    max_length: int = Field(32768, ge=2)
    """Longest row, in tokens of prompt and response; longer ones are rejected, never cut."""
    system_prompt: str = "slow_thinking"
    """System prompt of responses with a `<think>` block: name of a prompt or path of a file."""
    mix: dict[str, Mixture] = {}
    """Extra data by name, such as text-only reasoning or general visual questions."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; auto: bfloat16 on a GPU, float32 on the CPU. Gradients are
    summed, and weights updated, in float32."""
    zero_stage: Literal[0, 2, 3] = 2
    """ZeRO: 0 every rank holds everything, 2 gradients and optimizer are spread, 3 weights too.
    Engine-only, but a checkpoint is continued with the stage that wrote it."""
    num_ranks: int | None = Field(None, ge=1)
    """Processes started on this machine; null: one for each GPU, or one on the CPU. Engine-only,
    but a checkpoint is continued by as many ranks as wrote it."""
    micro_batch_size: int = Field(1, ge=1)
    """Trajectories in one forward pass of one rank. Engine-only: it moves last bits alone."""
    pack_length: int | None = Field(None, ge=1)
    """Tokens in one forward pass of one rank: as many whole trajectories as fit, in place of
    `micro_batch_size`; a longer one goes alone. Engine-only: it moves last bits alone."""
    gradient_checkpointing: bool = True
    """Compute activations twice instead of keeping them. Engine-only."""
    checkpoint_every: int = Field(25, ge=1)
    """Steps between checkpoints. Engine-only."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many checkpoints are kept, the newest. Engine-only."""

    @field_validator("freeze")
    @classmethod
    def _only_the_language_model_trains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if set(value) != {"vision", "projector"}:
            raise ValueError('only ["vision", "projector"] is supported: the language model trains')
        return value

    @field_validator("lora_targets")
    @classmethod
    def _head_and_embeddings_get_no_adapter(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if refused := {"lm_head", "embed_tokens"}.intersection(value):
            raise ValueError(
                f"{refused.pop()} can't get an adapter: head and embeddings may be one tied "
                "matrix, and the loss is computed from it without its logits"
            )
        return value

    @property
    def is_packed(self) -> bool:
        """Whether several trajectories share a forward pass."""
        return self.pack_length is not None or self.micro_batch_size > 1

    def computes_in_float32(self, on_gpu: bool) -> bool:
        """Whether the arithmetic is float32, and not bfloat16."""
        return self.dtype == "float32" or (self.dtype == "auto" and not on_gpu)

    @model_validator(mode="after")
    def _unspread_gradients_are_float32(self) -> Self:
        if self.zero_stage == 0 and self.dtype == "bfloat16":
            raise ValueError(
                "with zero_stage = 0 DeepSpeed sums gradients in the type of weights: "
                "use zero_stage = 2, or dtype = float32"
            )
        return self
