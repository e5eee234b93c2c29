# polyclip on a CPU: the command line, the search page and the starter encoders. Nothing but pip is asked for anything.
#   docker build -t polyclip .
#   docker run --rm -v "$PWD/runs:/models" -v polyclip-cache:/cache polyclip align --lang sw --out /models/sw
# A mirror in place of the public indexes:
#   docker build --build-arg PIP_INDEX_URL=https://pypi.example.org/simple --build-arg TORCH_INDEX_URL=https://torch.example.org/cpu .
FROM python:3.11-slim-bookworm

ARG PIP_INDEX_URL=https://pypi.org/simple
# torch and torchvision without CUDA, 200 MB in place of 3 GB; they have to be of one index, or torchvision cannot be loaded
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG EXTRAS=starter,serve

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    HF_HUB_OFFLINE=1 \
    POLYCLIP_CACHE=/cache

RUN pip install --index-url "$TORCH_INDEX_URL" "torch>=2.9" "torchvision>=0.24"

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY polyclip polyclip
COPY languages languages
COPY corpora corpora
RUN pip install --index-url "$PIP_INDEX_URL" ".[$EXTRAS]" \
    && rm -rf /src/* \
    && useradd --create-home --uid 10001 polyclip \
    && mkdir -p /models /cache /images \
    && chown polyclip:polyclip /models /cache /images

USER 10001
WORKDIR /models
VOLUME ["/models", "/cache"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["polyclip"]
CMD ["--help"]
