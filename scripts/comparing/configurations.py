#!/usr/bin/env python3
# How each proxy is set up: at its best for this work. One worker or thread, connections kept alive on both sides, no access log,
# no buffering that the work does not need. Where there are several providers, nginx and HAProxy get what they have for failing
# over: a call that met a dead or silent provider is sent again elsewhere (also POST, which nginx does not repeat unless it is
# told to), by whom has the fewest calls waiting, and HAProxy asks after its servers' health twice a second. lasso is as it ships.

# Connections that there is room for. Room costs memory, so there is more only where it is needed.
USUAL_CONNECTIONS = 8192

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 65536;
events {{ worker_connections {most}; }}
http {{
  access_log off;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream mock {{
    {balance}
    {servers}
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass {scheme}://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection {connection};
      {upgrade}
      proxy_max_temp_file_size 0;
      {buffers}
      {tls}
      {failover}
    }}
  }}
}}
"""

# nginx at its best for this work: it hands answers on as they come, through one large buffer. Makes no difference below it.
NGINX_STREAMS = "proxy_buffering off; proxy_buffer_size 256k; proxy_buffers 16 64k; proxy_busy_buffers_size 512k;"
# The usual form, with buffers for a whole answer. At 1 MiB glibc gives them back to the kernel after each call and 256 page
# faults a call fetch them again, which doubles the cost: too weak an opponent.
NGINX_BUFFERS = "proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;"
# Sessions are resumed by default (proxy_ssl_session_reuse).
NGINX_TLS = (
    "proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority};"
    " proxy_ssl_name localhost; proxy_ssl_server_name on;"
)
NGINX_FAILOVER = (
    "proxy_connect_timeout 250ms; proxy_read_timeout 500ms; proxy_next_upstream error timeout http_502 http_503 http_504"
    " non_idempotent; proxy_next_upstream_tries 3;"
)


def nginx(path, port, providers, authority, over_socket, clients, buffers=NGINX_STREAMS):
    """Writes the file. It counts both sides' connections."""
    several = len(providers) > 1
    path.write_text(
        NGINX.format(
            folder=path.parent,
            port=port,
            buffers=buffers,
            most=max(USUAL_CONNECTIONS, 2 * clients + 64),
            balance="least_conn;" if several else "",
            servers=" ".join(f"server 127.0.0.1:{one}{' max_fails=1 fail_timeout=1s' if several else ''};" for one in providers),
            scheme="https" if authority else "http",
            connection="upgrade" if over_socket else '""',
            upgrade="proxy_set_header Upgrade $http_upgrade; proxy_read_timeout 1h;" if over_socket else "",
            tls=NGINX_TLS.format(authority=authority) if authority else "",
            failover=NGINX_FAILOVER if several else "",
        )
    )


HAPROXY = """\
global
  nbthread 1
  maxconn {most}
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect {connect}
  timeout client 75s
  timeout server {server}
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend mock
backend mock
  {failover}
  {servers}
"""
HAPROXY_TLS = " ssl verify required ca-file {authority} sni str(localhost) verifyhost localhost"
HAPROXY_FAILOVER = r"""balance leastconn
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response response-timeout 502 503 504
  option http-buffer-request
  option httpchk
  http-check send meth POST uri /rpc/bench hdr Content-Type application/json body "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[]}"
  timeout check 250ms
  default-server check inter 500ms fastinter 100ms downinter 500ms fall 2 rise 1 observe layer7 error-limit 3 on-error mark-down"""


def haproxy(path, port, providers, authority, clients):
    """Writes the file. It counts clients, and wants two files for each."""
    several, sealed = len(providers) > 1, HAPROXY_TLS.format(authority=authority) if authority else ""
    path.write_text(
        HAPROXY.format(
            port=port,
            most=max(USUAL_CONNECTIONS, clients + 64),
            connect="250ms" if several else "5s",
            server="500ms" if several else "75s",
            failover=HAPROXY_FAILOVER if several else "",
            servers="\n  ".join(f"server mock{index} 127.0.0.1:{one}{sealed}" for index, one in enumerate(providers)),
        )
    )


# The limiter is on the path and never reached.
LASSO = """\
---
name: bench
slug: default
rps_limit: 10000000
burst_limit: 10000000
---
chains:
  bench:
    chain_id: 1
{more}    providers:
{providers}"""


def lasso(folder, urls, authority, subscribes_every_ms):
    """Writes the profile."""
    more = ""
    if subscribes_every_ms:
        more = f"    block_time_ms: {subscribes_every_ms}\n    websocket:\n      failover:\n        max_backfill_blocks: 100000\n"
    lines = ""
    for index, url in enumerate(urls):
        lines += f"      - id: mock{index}\n        url: {url}\n"
        lines += f"        ws_url: {url.replace('http', 'ws', 1)}\n" if subscribes_every_ms else ""
        lines += f"        ca_file: {authority}\n" if authority else ""
    (folder / "default.yml").write_text(LASSO.format(more=more, providers=lines))
