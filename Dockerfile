# docker build -t ordinalclip . && docker run --rm -v "$PWD/runs:/ordinalclip/runs" ordinalclip train ARGS="prompt=rank"
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /ordinalclip
COPY . .
RUN PIP_NO_CACHE_DIR=1 make setup
ENTRYPOINT ["make"]
CMD ["train"]
