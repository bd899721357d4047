# The worker in a container:
#   docker build -t sdrbee .
#   docker run -p 127.0.0.1:8081:8081 -v sdrbee:/var/lib/sdrbee -e SDRBEE_API_KEY=... sdrbee
# Versions come from the base image and pyproject.toml.
# hadolint global ignore=DL3008,DL3013
FROM python:3.11-slim-bookworm AS build
COPY scripts/system_packages.sh /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && /tmp/system_packages.sh \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/sdrbee
ENV PATH=/opt/sdrbee/bin:$PATH
# For a GPU, take torch from PyPI instead of the index of CPU wheels.
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir "scikit-build-core>=0.11" "pybind11>=3.0" cmake ninja
WORKDIR /src
COPY . .
# Without isolation: the build uses the torch above, and does not fetch another one.
RUN pip install --no-cache-dir --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 libssl3 libutf8proc2 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/sdrbee sdrbee
COPY --from=build /opt/sdrbee /opt/sdrbee
ENV PATH=/opt/sdrbee/bin:$PATH XDG_DATA_HOME=/var/lib/sdrbee XDG_STATE_HOME=/var/lib/sdrbee/state
# By number: Kubernetes' runAsNonRoot does not know names.
USER 10001
VOLUME /var/lib/sdrbee
EXPOSE 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/health', timeout=4)"]
# Any address but loopback needs SDRBEE_API_KEY or --api-key-file.
ENTRYPOINT ["sdrbee", "serve", "--host", "0.0.0.0", "--log-format", "json"]
