# The orchestrator, and all else that the command `dibs` does:
#
#   docker build -f deploy/orchestrator.Dockerfile -t dibs-orchestrator .
#
# Needs DATABASE_URL and DIBS_SECRET_KEY (or the same with _FILE). Writes nothing
# but temporary files: run it with --read-only --tmpfs /tmp.
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements-build.lock requirements-orchestrator.lock ./
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
 && python -m venv --without-pip /opt/dibs \
 && pip --python /opt/dibs/bin/python install --no-cache-dir --require-hashes \
    --only-binary :all: -r requirements-orchestrator.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY executor executor
COPY orchestrator orchestrator
RUN python -m hatchling build -t wheel \
 && pip --python /opt/dibs/bin/python install --no-cache-dir --no-index --no-deps dist/*.whl

FROM python:3.12-slim
# A volume that is mounted on one of these folders belongs to this user then.
RUN groupadd --gid 10001 dibs \
 && useradd --uid 10001 --gid dibs --no-create-home --home-dir /nonexistent dibs \
 && mkdir -p /run/dibs/owner /run/dibs/service /run/dibs/executor \
 && chown -R dibs:dibs /run/dibs \
 && chmod 700 /run/dibs/*
COPY --from=build /opt/dibs /opt/dibs
COPY deploy/prepare.py /opt/dibs/prepare.py
ENV PATH=/opt/dibs/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DIBS_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8420
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8420/readyz', timeout=4)"]
CMD ["dibs", "serve"]
