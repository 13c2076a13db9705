# Build: uv with the lock file. Run: only Python, the environment and the packages, as a user without rights.
FROM python:3.13-slim AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PROJECT_ENVIRONMENT=/opt/xinqiao
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --all-extras --no-install-project
COPY schemas schemas
COPY consent consent
COPY connectors connectors
COPY gateway gateway
RUN uv sync --locked --no-dev --all-extras --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/xinqiao --create-home xinqiao \
 && install -d -o xinqiao -m 0700 /var/lib/xinqiao/data /etc/xinqiao/keys
COPY --from=build /opt/xinqiao /opt/xinqiao
ENV PATH=/opt/xinqiao/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XINQIAO_HOST=0.0.0.0 \
    XINQIAO_DATA=/var/lib/xinqiao/data \
    XINQIAO_KEYS=/etc/xinqiao/keys
USER xinqiao
VOLUME ["/var/lib/xinqiao/data", "/etc/xinqiao/keys"]
EXPOSE 8400
HEALTHCHECK --interval=15s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8400/readyz', timeout=2)"]
ENTRYPOINT ["xinqiao"]
CMD ["serve"]
