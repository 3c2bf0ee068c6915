"""Makes a tiny Llama: random weights, and a byte-level tokenizer trained on Python's own library.

Every server that loads it says the same at temperature 0, which is all these tests need of a model.
Usage: model.py FOLDER
"""

import sys
import sysconfig
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 4096
ROLES = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
BOS, EOS, PAD = "<|bos|>", "<|end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' ~ message['role'] ~ '|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """2,048 words: special ones first, so that their ids do not depend on the corpus."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    library = Path(sysconfig.get_paths()["stdlib"])
    corpus = sorted(str(path) for path in library.glob("*.py"))[:60]
    bpe.train(
        corpus,
        trainers.BpeTrainer(
            vocab_size=2048,
            special_tokens=[BOS, EOS, PAD, *ROLES],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=ROLES,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def weights(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """0.8 M parameters. The wide initial range makes the most likely token stand out,
    so that rounding in another batch shape does not change a greedy text."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=CONTEXT,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            tie_word_embeddings=False,
            initializer_range=0.2,
        )
    )


def main() -> None:
    folder = sys.argv[1]
    words = tokenizer()
    words.save_pretrained(folder)
    weights(words).save_pretrained(folder)


if __name__ == "__main__":
    main()
