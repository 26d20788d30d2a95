"""Every paper once: its key, its title and where it is read.

A citation is text that begins with a key, `brown2020 Table D.1`; `cited` spells it out. Text that begins with no key
stands for itself.
"""

from typing import NamedTuple


class Source(NamedTuple):
    """A publication: who and when, its title, and a link."""

    short: str
    title: str
    link: str


def _arxiv(short: str, title: str, number: str) -> Source:
    return Source(short, title, f"https://arxiv.org/abs/{number}")


SOURCES: dict[str, Source] = {
    "abdin2024": _arxiv(
        "Abdin 2024", "Phi-3 Technical Report: A Highly Capable Language Model Locally on Your Phone", "2404.14219"
    ),
    "abdin2024b": _arxiv("Abdin 2024b", "Phi-4 Technical Report", "2412.08905"),
    "abnar2025": _arxiv(
        "Abnar 2025",
        "Parameters vs FLOPs: Scaling Laws for Optimal Sparsity for Mixture-of-Experts Language Models",
        "2501.12370",
    ),
    "allenai2024": Source("Ai2 2024", "OLMo", "https://github.com/allenai/OLMo"),
    "allenai2025": Source("Ai2 2025", "OLMo-core", "https://github.com/allenai/OLMo-core"),
    "almazrouei2023": _arxiv("Almazrouei 2023", "The Falcon Series of Open Language Models", "2311.16867"),
    "bakouch2025": Source(
        "Bakouch 2025", "SmolLM3: smol, multilingual, long-context reasoner", "https://huggingface.co/blog/smollm3"
    ),
    "beck2024": _arxiv("Beck 2024", "xLSTM: Extended Long Short-Term Memory", "2405.04517"),
    "beck2025": _arxiv("Beck 2025", "xLSTM 7B: A Recurrent LLM for Fast and Efficient Inference", "2503.13427"),
    "bergsma2025": _arxiv(
        "Bergsma 2025", "Power Lines: Scaling Laws for Weight Decay and Batch Size in LLM Pre-training", "2505.13738"
    ),
    "besiroglu2024": _arxiv("Besiroglu 2024", "Chinchilla Scaling: A Replication Attempt", "2404.10102"),
    "biderman2023": _arxiv(
        "Biderman 2023", "Pythia: A Suite for Analyzing Large Language Models Across Training and Scaling", "2304.01373"
    ),
    "bigcode2024": Source("BigCode 2024", "StarCoder2 and The Stack v2", "https://huggingface.co/blog/starcoder2"),
    "bigscience2022": Source(
        "BigScience 2022",
        "Training of the 176-billion-parameter multilingual model (tr11-176B-ml)",
        "https://github.com/bigscience-workshop/bigscience/tree/master/train/tr11-176B-ml",
    ),
    "black2022": _arxiv("Black 2022", "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", "2204.06745"),
    "botev2024": _arxiv(
        "Botev 2024", "RecurrentGemma: Moving Past Transformers for Efficient Open Language Models", "2404.07839"
    ),
    "brown2020": _arxiv("Brown 2020", "Language Models are Few-Shot Learners", "2005.14165"),
    "chandy1975": Source(
        "Chandy, Herzog and Woo 1975", "Parametric Analysis of Queuing Networks", "https://doi.org/10.1147/rd.191.0036"
    ),
    "chen2023": _arxiv("Chen 2023", "Symbolic Discovery of Optimization Algorithms", "2302.06675"),
    "chowdhery2022": _arxiv("Chowdhery 2022", "PaLM: Scaling Language Modeling with Pathways", "2204.02311"),
    "clark2022": _arxiv("Clark 2022", "Unified Scaling Laws for Routed Language Models", "2202.01169"),
    "conneau2019": _arxiv("Conneau 2019", "Unsupervised Cross-lingual Representation Learning at Scale", "1911.02116"),
    "dai2019": _arxiv(
        "Dai 2019", "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context", "1901.02860"
    ),
    "dao2022": _arxiv(
        "Dao 2022", "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness", "2205.14135"
    ),
    "dao2024": _arxiv(
        "Dao & Gu 2024",
        "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space Duality",
        "2405.21060",
    ),
    "de2024": _arxiv(
        "De 2024",
        "Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models",
        "2402.19427",
    ),
    "deepseek2024": _arxiv(
        "DeepSeek 2024", "DeepSeek LLM: Scaling Open-Source Language Models with Longtermism", "2401.02954"
    ),
    "deepseek2024b": _arxiv(
        "DeepSeek-AI 2024b",
        "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model",
        "2405.04434",
    ),
    "deepseek2024c": _arxiv("DeepSeek-AI 2024c", "DeepSeek-V3 Technical Report", "2412.19437"),
    "dettmers2021": _arxiv("Dettmers 2021", "8-bit Optimizers via Block-wise Quantization", "2110.02861"),
    "dettmers2022": _arxiv(
        "Dettmers 2022", "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", "2208.07339"
    ),
    "dettmers2023": _arxiv("Dettmers 2023", "QLoRA: Efficient Finetuning of Quantized LLMs", "2305.14314"),
    "devlin2018": _arxiv("Devlin 2018", "BERT: Pre-training of Deep Bidirectional Transformers", "1810.04805"),
    "dubey2024": _arxiv("Dubey 2024", "The Llama 3 Herd of Models", "2407.21783"),
    "eleutherai2023": Source(
        "EleutherAI 2023",
        "Pythia: Interpreting Transformers Across Time and Scale",
        "https://github.com/EleutherAI/pythia",
    ),
    "fedus2021": _arxiv(
        "Fedus 2021",
        "Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity",
        "2101.03961",
    ),
    "frantar2022": _arxiv(
        "Frantar 2022",
        "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
        "2210.17323",
    ),
    "gadre2024": _arxiv(
        "Gadre 2024", "Language models scale reliably with over-training and on downstream tasks", "2403.08540"
    ),
    "gemma2024": _arxiv("Gemma Team 2024", "Gemma 2: Improving Open Language Models at a Practical Size", "2408.00118"),
    "gemma2025": _arxiv("Gemma Team 2025", "Gemma 3 Technical Report", "2503.19786"),
    "ggml2023": Source(
        "ggml 2023", "gguf, constants.py", "https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py"
    ),
    "glm2026": _arxiv("GLM-5 Team 2026", "GLM-5: from Vibe Coding to Agentic Engineering", "2602.15763"),
    "glorioso2024": _arxiv("Glorioso 2024", "Zamba: A Compact 7B SSM Hybrid Model", "2405.16712"),
    "google2019": Source(
        "Google 2019",
        "text-to-text-transfer-transformer",
        "https://github.com/google-research/text-to-text-transfer-transformer",
    ),
    "google2024": Source(
        "Google 2024", "gemma_pytorch, config.py", "https://github.com/google/gemma_pytorch/blob/main/gemma/config.py"
    ),
    "gu2023": _arxiv("Gu & Dao 2023", "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", "2312.00752"),
    "he2020": _arxiv("He 2020", "DeBERTa: Decoding-enhanced BERT with Disentangled Attention", "2006.03654"),
    "he2021": _arxiv(
        "He 2021",
        "DeBERTaV3: Improving DeBERTa using ELECTRA-Style Pre-Training with Gradient-Disentangled Embedding Sharing",
        "2111.09543",
    ),
    "hoffmann2022": _arxiv("Hoffmann 2022", "Training Compute-Optimal Large Language Models", "2203.15556"),
    "hu2021": _arxiv("Hu 2021", "LoRA: Low-Rank Adaptation of Large Language Models", "2106.09685"),
    "huggingface2025": Source("Hugging Face 2025", "smollm", "https://github.com/huggingface/smollm"),
    "jaynes1957": Source(
        "Jaynes 1957", "Information Theory and Statistical Mechanics", "https://doi.org/10.1103/PhysRev.106.620"
    ),
    "jiang2023": _arxiv("Jiang 2023", "Mistral 7B", "2310.06825"),
    "jiang2024": _arxiv("Jiang 2024", "Mixtral of Experts", "2401.04088"),
    "jordan2024": Source(
        "Jordan 2024",
        "Muon: An optimizer for hidden layers in neural networks",
        "https://kellerjordan.github.io/posts/muon/",
    ),
    "kalamkar2019": _arxiv("Kalamkar 2019", "A Study of BFLOAT16 for Deep Learning Training", "1905.12322"),
    "kaplan2020": _arxiv("Kaplan 2020", "Scaling Laws for Neural Language Models", "2001.08361"),
    "karpathy2022": Source("Karpathy 2022", "nanoGPT", "https://github.com/karpathy/nanoGPT"),
    "keskar2019": _arxiv(
        "Keskar 2019", "CTRL: A Conditional Transformer Language Model for Controllable Generation", "1909.05858"
    ),
    "kimi2025": _arxiv("Kimi Team 2025", "Kimi Linear: An Expressive, Efficient Attention Architecture", "2510.26692"),
    "kimi2025b": _arxiv("Kimi Team 2025b", "Kimi K2: Open Agentic Intelligence", "2507.20534"),
    "klenk2020": Source(
        "Klenk 2020",
        "An In-Network Architecture for Accelerating Shared-Memory Multiprocessor Collectives",
        "https://doi.org/10.1109/ISCA45697.2020.00085",
    ),
    "korthikanti2022": _arxiv(
        "Korthikanti 2022", "Reducing Activation Recomputation in Large Transformer Models", "2205.05198"
    ),
    "krajewski2024": _arxiv("Krajewski 2024", "Scaling Laws for Fine-Grained Mixture of Experts", "2402.07871"),
    "kumar2024": _arxiv("Kumar 2024", "Scaling Laws for Precision", "2411.04330"),
    "kwon2023": _arxiv(
        "Kwon 2023", "Efficient Memory Management for Large Language Model Serving with PagedAttention", "2309.06180"
    ),
    "lan2019": _arxiv(
        "Lan 2019", "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", "1909.11942"
    ),
    "leviathan2023": _arxiv(
        "Leviathan 2023", "Fast Inference from Transformers via Speculative Decoding", "2211.17192"
    ),
    "lewis2019": _arxiv(
        "Lewis 2019",
        "BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation, Translation, and "
        "Comprehension",
        "1910.13461",
    ),
    "li2023": _arxiv("Li 2023", "StarCoder: may the source be with you!", "2305.06161"),
    "li2025": _arxiv(
        "Li 2025",
        "Predictable Scale: Part I, Step Law - Optimal Hyperparameter Scaling Law in Large Language Model Pre-training",
        "2503.04715",
    ),
    "li2025b": _arxiv(
        "Li 2025b", "Predictable Scale: Part II, Farseer: A Refined Scaling Law in Large Language Models", "2506.10972"
    ),
    "lieber2024": _arxiv("Lieber 2024", "Jamba: A Hybrid Transformer-Mamba Language Model", "2403.19887"),
    "lightning2023": Source("Lightning AI 2023", "LitGPT", "https://github.com/Lightning-AI/litgpt"),
    "liu2019": _arxiv("Liu 2019", "RoBERTa: A Robustly Optimized BERT Pretraining Approach", "1907.11692"),
    "liu2025": _arxiv(
        "Liu 2025",
        "MoE Parallel Folding: Heterogeneous Parallelism Mappings for Efficient Large-Scale MoE Model Training with Megatron Core",
        "2504.14960",
    ),
    "liu2025b": _arxiv("Liu 2025b", "Muon is Scalable for LLM Training", "2502.16982"),
    "llamacpp2026": Source(
        "llama.cpp 2026",
        "llama.cpp, src/llama-quant.cpp",
        "https://github.com/ggml-org/llama.cpp/blob/master/src/llama-quant.cpp",
    ),
    "loshchilov2017": _arxiv("Loshchilov & Hutter 2017", "Decoupled Weight Decay Regularization", "1711.05101"),
    "lozhkov2024": _arxiv("Lozhkov 2024", "StarCoder 2 and The Stack v2: The Next Generation", "2402.19173"),
    "ludziejewski2025": _arxiv(
        "Ludziejewski 2025", "Joint MoE Scaling Laws: Mixture of Experts Can Be Memory Efficient", "2502.05172"
    ),
    "mccandlish2018": _arxiv("McCandlish 2018", "An Empirical Model of Large-Batch Training", "1812.06162"),
    "mesnard2024": _arxiv(
        "Gemma Team 2024b", "Gemma: Open Models Based on Gemini Research and Technology", "2403.08295"
    ),
    "meta2022": Source(
        "Meta AI 2022",
        "metaseq, OPT chronicles: 175B Training Run Completed",
        "https://github.com/facebookresearch/metaseq/blob/main/projects/OPT/chronicles/final_update.md",
    ),
    "meta2023": Source(
        "Meta 2023", "Llama 2 Model Card", "https://github.com/meta-llama/llama/blob/main/MODEL_CARD.md"
    ),
    "meta2024": Source(
        "Meta 2024",
        "Llama 3.1 Model Card",
        "https://github.com/meta-llama/llama-models/blob/main/models/llama3_1/MODEL_CARD.md",
    ),
    "meta2025": Source(
        "Meta 2025",
        "Llama 4 Model Card",
        "https://github.com/meta-llama/llama-models/blob/main/models/llama4/MODEL_CARD.md",
    ),
    "meta2025b": Source(
        "Meta 2025b",
        "The Llama 4 herd: The beginning of a new era of natively multimodal AI innovation",
        "https://ai.meta.com/blog/llama-4-multimodal-intelligence/",
    ),
    "micikevicius2017": _arxiv("Micikevicius 2017", "Mixed Precision Training", "1710.03740"),
    "micikevicius2022": _arxiv("Micikevicius 2022", "FP8 Formats for Deep Learning", "2209.05433"),
    "microsoft2023": Source("Microsoft 2023", "Phi-2 Model Card", "https://huggingface.co/microsoft/phi-2"),
    "microsoft2024": Source(
        "Microsoft 2024", "Phi-3.5-MoE Model Card", "https://huggingface.co/microsoft/Phi-3.5-MoE-instruct"
    ),
    "microsoft2024b": Source("Microsoft 2024b", "Phi-4 Model Card", "https://huggingface.co/microsoft/phi-4"),
    "microsoft2024c": Source(
        "Microsoft 2024c", "Phi-3-Mini-128K Model Card", "https://huggingface.co/microsoft/Phi-3-mini-128k-instruct"
    ),
    "microsoft2025": Source(
        "Microsoft 2025", "Phi-4-mini Model Card", "https://huggingface.co/microsoft/Phi-4-mini-instruct"
    ),
    "mosaicml2023": Source("MosaicML 2023", "MPT-7B Model Card", "https://huggingface.co/mosaicml/mpt-7b"),
    "mosaicml2023b": Source("MosaicML 2023b", "MPT-30B Model Card", "https://huggingface.co/mosaicml/mpt-30b"),
    "muennighoff2023": _arxiv("Muennighoff 2023", "Scaling Data-Constrained Language Models", "2305.16264"),
    "narayanan2021": _arxiv(
        "Narayanan 2021", "Efficient Large-Scale Language Model Training on GPU Clusters", "2104.04473"
    ),
    "nvidia2025": Source(
        "NVIDIA 2025",
        "Introducing NVFP4 for Efficient and Accurate Low-Precision Inference",
        "https://developer.nvidia.com/blog/introducing-nvfp4-for-efficient-and-accurate-low-precision-inference/",
    ),
    "olmo2025": _arxiv("OLMo Team 2025", "2 OLMo 2 Furious", "2501.00656"),
    "openai2019": Source("OpenAI 2019", "openai/gpt-2", "https://github.com/openai/gpt-2"),
    "openai2023": _arxiv("OpenAI 2023", "GPT-4 Technical Report", "2303.08774"),
    "openai2023v": Source(
        "OpenAI 2023b", "GPT-4V(ision) System Card", "https://cdn.openai.com/papers/GPTV_System_Card.pdf"
    ),
    "openai2025": _arxiv("OpenAI 2025", "gpt-oss-120b & gpt-oss-20b Model Card", "2508.10925"),
    "ouyang2022": _arxiv(
        "Ouyang 2022", "Training language models to follow instructions with human feedback", "2203.02155"
    ),
    "parmar2024": _arxiv("NVIDIA 2024", "Nemotron-4 340B Technical Report", "2406.11704"),
    "patarasuk2009": Source(
        "Patarasuk & Yuan 2009",
        "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations",
        "https://doi.org/10.1016/j.jpdc.2008.09.002",
    ),
    "patterson2021": _arxiv("Patterson 2021", "Carbon Emissions and Large Neural Network Training", "2104.10350"),
    "pearce2024": _arxiv("Pearce & Song 2024", "Reconciling Kaplan and Chinchilla Scaling Laws", "2406.12907"),
    "peng2023": _arxiv("Peng 2023", "RWKV: Reinventing RNNs for the Transformer Era", "2305.13048"),
    "pope2022": _arxiv("Pope 2022", "Efficiently Scaling Transformer Inference", "2211.05102"),
    "porian2024": _arxiv(
        "Porian 2024", "Resolving Discrepancies in Compute-Optimal Scaling of Language Models", "2406.19146"
    ),
    "qi2024": _arxiv("Qi 2024", "Zero Bubble Pipeline Parallelism", "2401.10241"),
    "qin2024": _arxiv(
        "Qin 2024", "Lightning Attention-2: A Free Lunch for Handling Unlimited Sequence Lengths", "2401.04658"
    ),
    "qwen2024": _arxiv("Qwen Team 2024", "Qwen2.5 Technical Report", "2412.15115"),
    "qwen2025": _arxiv("Qwen Team 2025", "Qwen3 Technical Report", "2505.09388"),
    "qwen2025b": Source(
        "Qwen Team 2025b",
        "Qwen3-Next: Towards Ultimate Training & Inference Efficiency",
        "https://www.alibabacloud.com/blog/602580",
    ),
    "radford2018": Source(
        "Radford 2018",
        "Improving Language Understanding by Generative Pre-Training",
        "https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf",
    ),
    "radford2019": Source(
        "Radford 2019",
        "Language Models are Unsupervised Multitask Learners",
        "https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf",
    ),
    "radford2022": _arxiv("Radford 2022", "Robust Speech Recognition via Large-Scale Weak Supervision", "2212.04356"),
    "rae2021": _arxiv(
        "Rae 2021", "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", "2112.11446"
    ),
    "rafailov2023": _arxiv(
        "Rafailov 2023", "Direct Preference Optimization: Your Language Model is Secretly a Reward Model", "2305.18290"
    ),
    "raffel2019": _arxiv("Raffel 2019", "Exploring the Limits of Transfer Learning with T5", "1910.10683"),
    "rajbhandari2019": _arxiv(
        "Rajbhandari 2019", "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", "1910.02054"
    ),
    "rouhani2023": _arxiv("Rouhani 2023", "Microscaling Data Formats for Deep Learning", "2310.10537"),
    "sanh2019": _arxiv(
        "Sanh 2019", "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter", "1910.01108"
    ),
    "sardana2024": _arxiv(
        "Sardana 2024",
        "Beyond Chinchilla-Optimal: Accounting for Inference in Language Model Scaling Laws",
        "2401.00448",
    ),
    "scao2022": _arxiv("Le Scao 2022", "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model", "2211.05100"),
    "shao2024": _arxiv(
        "Shao 2024", "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models", "2402.03300"
    ),
    "shazeer2018": _arxiv(
        "Shazeer & Stern 2018", "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", "1804.04235"
    ),
    "shen2024": _arxiv("Shen 2024", "JetMoE: Reaching Llama2 Performance with 0.1M Dollars", "2404.07413"),
    "shoeybi2019": _arxiv(
        "Shoeybi 2019",
        "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism",
        "1909.08053",
    ),
    "tao2024": _arxiv(
        "Tao 2024", "Scaling Laws with Vocabulary: Larger Models Deserve Larger Vocabularies", "2407.13623"
    ),
    "tian2025": _arxiv(
        "Tian 2025",
        "Towards Greater Leverage: Scaling Laws for Efficient Mixture-of-Experts Language Models",
        "2507.17702",
    ),
    "touvron2023a": _arxiv("Touvron 2023", "LLaMA: Open and Efficient Foundation Language Models", "2302.13971"),
    "touvron2023b": _arxiv("Touvron 2023b", "Llama 2: Open Foundation and Fine-Tuned Chat Models", "2307.09288"),
    "vaswani2017": _arxiv("Vaswani 2017", "Attention Is All You Need", "1706.03762"),
    "vllm2023": Source("vLLM 2023", "CacheConfig", "https://docs.vllm.ai/en/stable/api/vllm/config/cache/"),
    "wan2025": _arxiv("Wan 2025", "Robust LLM Training Infrastructure at ByteDance", "2509.16293"),
    "warner2024": _arxiv(
        "Warner 2024",
        "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, Memory Efficient, and Long Context "
        "Finetuning and Inference",
        "2412.13663",
    ),
    "williams2009": Source(
        "Williams 2009",
        "Roofline: An Insightful Visual Performance Model for Multicore Architectures",
        "https://doi.org/10.1145/1498765.1498785",
    ),
    "yang2019": _arxiv(
        "Yang 2019", "XLNet: Generalized Autoregressive Pretraining for Language Understanding", "1906.08237"
    ),
    "yang2024": _arxiv("Yang 2024", "Gated Delta Networks: Improving Mamba2 with Delta Rule", "2412.06464"),
    "zeng2025": _arxiv("Zeng 2025", "GLM-4.5: Agentic, Reasoning, and Coding (ARC) Foundation Models", "2508.06471"),
    "zhang2022": _arxiv("Zhang 2022", "OPT: Open Pre-trained Transformer Language Models", "2205.01068"),
    "zhang2024": Source(
        "Zhang 2024", "TinyLlama: An Open-Source Small Language Model", "https://github.com/jzhang38/TinyLlama"
    ),
    "zhang2024b": _arxiv("Zhang 2024b", "How Does Critical Batch Size Scale in Pre-training?", "2410.21676"),
    "zuo2024": _arxiv("Zuo 2024", "Falcon Mamba: The First Competitive Attention-free 7B Language Model", "2410.05355"),
    "zuo2025": _arxiv(
        "Zuo 2025",
        "Falcon-H1: A Family of Hybrid-Head Language Models Redefining Efficiency and Performance",
        "2507.22448",
    ),
}


def cited(citation: str) -> str:
    """`brown2020 Table D.1` as people read it: `Brown 2020, Table D.1`."""
    key, _, place = citation.partition(" ")
    if key not in SOURCES:
        return citation
    return f"{SOURCES[key].short}, {place}" if place else SOURCES[key].short


def reference(citation: str) -> str:
    """The full reference that a citation points to, or "" where it names no known publication."""
    source = SOURCES.get(citation.partition(" ")[0])
    return f"{source.short}: {source.title}, {source.link}" if source else ""
