"""Makes the bucket that the node's settings name, where it is not there: `python bucket.py`.

A one-shot service of docker/compose.yaml runs it, with a key that may make buckets. Whoever runs a real S3
server makes the bucket there: the node's own key need not, and must not, be able to.
"""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import urllib3
from minio import Minio

from xds.config import documents_in_s3, load

options = documents_in_s3(load())
if options is None:
    raise SystemExit("store.documents is no bucket")
endpoint = urlsplit(options.endpoint)
secure = endpoint.scheme == "https"
client = Minio(
    endpoint.netloc,
    options.access_key,
    str(options.secret_key),
    secure=secure,
    region=options.region,
    http_client=urllib3.PoolManager(
        timeout=10,
        ssl_context=ssl.create_default_context(cafile=options.ca) if secure else None,
    ),
)
if not client.bucket_exists(options.bucket.name):
    client.make_bucket(options.bucket.name)
print(f"bucket {options.bucket.name} is there")
