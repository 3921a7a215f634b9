"""web3.py as an application uses it: web3py.py URL [read | watch CONTRACT | ledgers ASKED HELD]. Exit 0 when every answer is what the library promises."""

import asyncio
import inspect
import json
import sys
import threading
import time
from pathlib import Path

from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription, PendingTxSubscription

CONTRACT = json.loads(Path(__file__).with_name("contract.json").read_text())
RUNTIME, INITCODE = ("".join(line.split(";")[0] for line in CONTRACT[part]).replace(" ", "") for part in ("runtime", "initcode"))
# The fourth account that anvil and hardhat fund (a published key), and the second, which nobody spends from.
KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
FUNDED = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


async def read_until_input_ends(w3):
    """The reader loop of the test that kills a node; see shared.mjs. Over HTTP and, where the library is async, WebSocket."""
    ended, calls, failures = threading.Event(), 0, []
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    reads = {
        "block_number": lambda: w3.eth.block_number,
        "get_balance": lambda: w3.eth.get_balance(FUNDED),
        "chain_id": lambda: w3.eth.chain_id,
        "get_block": lambda: w3.eth.get_block("latest"),
    }
    while not ended.is_set():
        for name, read in reads.items():
            calls += 1
            try:
                answer = read()
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:  # whatever an application would have to catch
                failures.append(f"{name}: {error!r}")
        if calls == len(reads):
            print("reading", flush=True)
    print(f"{calls} calls, {len(failures)} failed", *failures[:5], sep="\n")
    return 1 if failures else 0


async def read_over_socket(url):
    async with AsyncWeb3(WebSocketProvider(url)) as w3:
        return await read_until_input_ends(w3)


async def watch_until_input_ends(url, contract):
    """As in shared.mjs: a line for each event, reads beside them until standard input ends."""
    ended, calls, failures = threading.Event(), 0, []
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    say = lambda *words: print(*words, flush=True)

    async def on_head(context):
        say("head", context.result["number"], context.result["hash"].to_0x_hex())

    async def on_log(context):
        say("log", context.result["blockNumber"], int.from_bytes(context.result["data"]))

    async def on_pending(context):
        say("pending", context.result.to_0x_hex())

    async with AsyncWeb3(WebSocketProvider(url)) as w3:
        logs = LogsSubscription(address=Web3.to_checksum_address(contract), handler=on_log)
        await w3.subscription_manager.subscribe([NewHeadsSubscription(handler=on_head), logs, PendingTxSubscription(handler=on_pending)])
        handling = asyncio.create_task(w3.subscription_manager.handle_subscriptions())
        say("watching")
        while not ended.is_set():
            calls += 1
            try:
                await w3.eth.block_number
            except Exception as error:  # whatever an application would have to catch
                failures.append(repr(error))
            await asyncio.sleep(0.05)
        if handling.done():
            say("error", repr(handling.exception()))
        handling.cancel()
    say("calls", calls, "failed", len(failures))
    for text in failures[:5]:
        say("failed", text)
    return 0


def checksummed(wanted):
    """The addresses of a filter as this library wants them."""
    address = wanted.get("address")
    if address is None:
        return wanted
    many = [Web3.to_checksum_address(one) for one in ([address] if isinstance(address, str) else address)]
    return {**wanted, "address": many[0] if isinstance(address, str) else many}


async def keep_ledgers(url, asked, held):
    """As in ledger.mjs."""
    filters = json.loads(Path(asked).read_text())
    ledgers, wrong, last_s = [set() for _ in filters], [], time.monotonic()
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    def noting(ledger):
        async def on_log(context):
            nonlocal last_s
            log, last_s = context.result, time.monotonic()
            name = f"{log['blockHash'].to_0x_hex()}:{log['logIndex']}"
            if log["removed"] != (name in ledger):
                wrong.append(f"{'unknown' if log['removed'] else 'twice'} {name}")
            (ledger.discard if log["removed"] else ledger.add)(name)

        return on_log

    async with AsyncWeb3(WebSocketProvider(url)) as w3:
        for wanted, ledger in zip(filters, ledgers):
            await w3.subscription_manager.subscribe(LogsSubscription(**checksummed(wanted), handler=noting(ledger)))
        handling = asyncio.create_task(w3.subscription_manager.handle_subscriptions())
        print("watching", flush=True)
        await ended
        while time.monotonic() < last_s + 2:
            await asyncio.sleep(0.2)
        if handling.done():
            wrong.append(f"error {handling.exception()!r}")
        handling.cancel()
    Path(held).write_text(json.dumps({"ledgers": [list(ledger) for ledger in ledgers], "wrong": wrong[:20]}))
    return 0


def reads(w3):
    assert w3.is_connected()
    assert w3.eth.chain_id == 31337
    assert w3.eth.get_balance(FUNDED) == Web3.to_wei(10_000, "ether")
    block = w3.eth.get_block("latest", full_transactions=True)
    assert w3.eth.get_block(block["hash"])["number"] == block["number"] <= w3.eth.block_number
    assert w3.eth.gas_price > 0
    assert len(w3.eth.fee_history(1, "latest", [50])["baseFeePerGas"]) == 2
    assert w3.eth.get_code(FUNDED) == b""
    with w3.batch_requests() as batch:
        for slot in range(50):
            batch.add(w3.eth.get_storage_at(FUNDED, slot))
        assert [int.from_bytes(value) for value in batch.execute()] == [0] * 50


def send(w3, account, transaction):
    """Signs here, sends the bytes, waits: the receipt, and the bytes."""
    raw = account.sign_transaction(transaction).raw_transaction
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(raw), poll_latency=0.05)
    assert receipt["status"] == 1
    return receipt, raw


def options(w3, account):
    return {"from": account.address, "nonce": w3.eth.get_transaction_count(account.address), "chainId": w3.eth.chain_id}


def deployment(w3, account):
    factory = w3.eth.contract(abi=CONTRACT["abi"], bytecode="0x" + INITCODE + RUNTIME)
    receipt, _ = send(w3, account, factory.constructor().build_transaction(options(w3, account)))
    assert w3.eth.get_code(receipt["contractAddress"]).hex() == RUNTIME
    return w3.eth.contract(receipt["contractAddress"], abi=CONTRACT["abi"])


def logs(w3, account, contract):
    watched = contract.events.Noted.create_filter(from_block="latest")
    receipt, _ = send(w3, account, contract.functions.note(44).build_transaction(options(w3, account)))
    assert contract.functions.last().call() == 44
    noted = contract.events.Noted.get_logs(from_block=0, argument_filters={"by": account.address})
    assert [(log["args"]["value"], log["transactionHash"]) for log in noted] == [(44, receipt["transactionHash"])]
    assert contract.events.Noted.get_logs(from_block=0, argument_filters={"by": FUNDED}) == []
    assert [log["args"]["value"] for log in watched.get_new_entries()] == [44]
    assert watched.get_new_entries() == []


def fails(kind, act):
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def refusals(w3, account, contract):
    error = fails(ContractLogicError, contract.functions.refuse().call)
    # Selector of Error(string), offset, length, text; hardhat gives it inside an object.
    data = error.data["data"] if isinstance(error.data, dict) else error.data
    assert data == "0x08c379a0" + f"{32:064x}{9:064x}" + b"not today".ljust(32, b"\0").hex(), repr(error)
    error = fails(Web3Exception, lambda: contract.functions.refuse().estimate_gas({"from": account.address}))
    assert "not today" in str(error), repr(error)
    fails(TransactionNotFound, lambda: w3.eth.get_transaction("0x" + "ab" * 32))
    error = fails(Web3Exception, lambda: w3.manager.request_blocking("eth_nothing", []))
    assert "eth_nothing" in str(error) or "ethod" in str(error), repr(error)


def raw_transaction(w3, account):
    to = Web3.to_checksum_address("0x00000000000000000000000000000000000a11d0")
    before = w3.eth.get_balance(to)
    fees = {"gas": 21_000, "maxFeePerGas": 2 * w3.eth.gas_price, "maxPriorityFeePerGas": w3.eth.max_priority_fee}
    receipt, raw = send(w3, account, {"to": to, "value": 5, **fees, **{k: v for k, v in options(w3, account).items() if k != "from"}})
    assert w3.eth.get_balance(to, receipt["blockNumber"]) - before == 5
    error = fails(Web3RPCError, lambda: w3.eth.send_raw_transaction(raw))
    assert "nonce too low" in str(error).lower() or "already" in str(error).lower(), repr(error)


def main(url, mode="flow", contract=None, held=None):
    if mode == "watch":
        return asyncio.run(watch_until_input_ends(url, contract))
    if mode == "ledgers":
        return asyncio.run(keep_ledgers(url, contract, held))
    if mode == "read" and url.startswith("ws"):
        return asyncio.run(read_over_socket(url))
    if mode == "read":
        return asyncio.run(read_until_input_ends(Web3(HTTPProvider(url, exception_retry_configuration=None))))
    w3 = Web3(HTTPProvider(url))
    account = w3.eth.account.from_key(KEY)
    reads(w3)
    contract = deployment(w3, account)
    logs(w3, account, contract)
    refusals(w3, account, contract)
    raw_transaction(w3, account)
    print(contract.address)
    return 0


sys.exit(main(*sys.argv[1:]))
