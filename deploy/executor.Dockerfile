# An executor, with the sample workflows:
#
#   docker build -f deploy/executor.Dockerfile -t dibs-executor .
#
# Needs ORCHESTRATOR_URL and EXECUTOR_TOKEN (or EXECUTOR_TOKEN_FILE). With handlers
# of your own:
#
#   FROM dibs-executor
#   COPY my_package my_package
#   CMD ["dibs-executor", "run", "my_package.refunds:app"]
#
# Writes nothing but temporary files: run it with --read-only --tmpfs /tmp.
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements-build.lock requirements-executor.lock ./
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
 && python -m venv --without-pip /opt/dibs \
 && pip --python /opt/dibs/bin/python install --no-cache-dir --require-hashes \
    --only-binary :all: -r requirements-executor.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY executor executor
COPY orchestrator orchestrator
RUN python -m hatchling build -t wheel \
 && pip --python /opt/dibs/bin/python install --no-cache-dir --no-index --no-deps dist/*.whl

FROM python:3.12-slim
# The same numbers as in the orchestrator's image, whose user writes the token's file.
RUN groupadd --gid 10001 dibs \
 && useradd --uid 10001 --gid dibs --no-create-home --home-dir /nonexistent dibs \
 && mkdir -p /run/dibs/executor /app \
 && chown -R dibs:dibs /run/dibs \
 && chmod 700 /run/dibs/executor
COPY --from=build /opt/dibs /opt/dibs
ENV PATH=/opt/dibs/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    EXECUTOR_HTTP_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 3400
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:3400/health', timeout=4)"]
CMD ["dibs-executor", "run", "executor.samples:app"]
