"""Settings of the gate that uploaded models pass."""

from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from app.kit.setting_words import words

_DOMAINS: Final = frozenset({"ai.onnx", "ai.onnx.ml", "com.microsoft"})


class ValidationSettings(BaseSettings):
    validation_timeout_s: float = Field(
        30.0, gt=0, description="Wall-clock seconds a model's validation may take."
    )
    validation_cpu_s: int = Field(
        20, ge=1, description="CPU seconds a model's validation may take."
    )
    validation_memory_mb: int = Field(
        4096,
        ge=512,
        description=(
            "Memory a model's validation may take in MiB, beside four times the "
            "size of its files."
        ),
    )
    validation_concurrency: int = Field(
        2, ge=1, description="Models validated at the same time."
    )
    validation_spares: int = Field(
        1,
        ge=0,
        le=16,
        description=(
            "Validation processes a server keeps ready for the next upload, some 40 MiB "
            "each; 0: each upload waits for one to start."
        ),
    )
    operator_domains: str = Field(
        "ai.onnx,ai.onnx.ml,com.microsoft",
        description=(
            "Domains whose operators uploaded models may use: of ai.onnx, ai.onnx.ml, "
            "com.microsoft."
        ),
    )

    @property
    def allowed_domains(self) -> list[str]:
        return words(self.operator_domains)

    @field_validator("operator_domains")
    @classmethod
    def _known_domains(cls, given: str) -> str:
        for word in set(words(given)) - _DOMAINS:
            raise ValueError(
                f'OPERATOR_DOMAINS takes {", ".join(sorted(_DOMAINS))}: no "{word[:40]}"'
            )
        return given
