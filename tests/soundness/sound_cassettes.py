"""Small cassettes without a fault, of both markets, line by line.

The line numbers count: faults are planted by line, and found there.
"""

# ruff: noqa: E501  # a cassette line is one line

from __future__ import annotations

SPOT = r"""
{"cassette":1,"market":"spot","source":"by hand"}
{"t":1790000000100000,"stream":"ltcbtc@depth@100ms","data":{"e":"depthUpdate","E":1790000000090,"s":"LTCBTC","U":91,"u":99,"b":[["0.0010","5"]],"a":[]}}
{"t":1790000000150000,"rest":"/api/v3/depth?symbol=LTCBTC&limit=100","status":200,"data":{"lastUpdateId":103,"bids":[["0.0015","1"],["0.0014","2"],["0.0010","5"]],"asks":[["0.0017","3"],["0.0018","4"],["0.0030","9"]]}}
{"t":1790000000200000,"stream":"ltcbtc@depth@100ms","data":{"e":"depthUpdate","E":1790000000190,"s":"LTCBTC","U":100,"u":105,"b":[["0.0015","1.5"]],"a":[]}}
{"t":1790000000210000,"stream":"ltcbtc@trade","data":{"e":"trade","E":1790000000200,"s":"LTCBTC","t":7,"p":"0.0017","q":"1","T":1790000000199,"m":false,"M":true}}
{"t":1790000000220000,"stream":"ltcbtc@bookTicker","data":{"u":107,"s":"LTCBTC","b":"0.0016","B":"2","a":"0.0017","A":"3"}}
{"t":1790000000290000,"stream":"ltcbtc@depth5","data":{"lastUpdateId":108,"bids":[["0.0016","2"],["0.0015","1.5"]],"asks":[["0.0018","4"]]}}
{"t":1790000000300000,"stream":"ltcbtc@depth@100ms","data":{"e":"depthUpdate","E":1790000000290,"s":"LTCBTC","U":106,"u":107,"b":[["0.0016","2"]],"a":[]}}
{"t":1790000000400000,"stream":"ltcbtc@depth@100ms","data":{"e":"depthUpdate","E":1790000000390,"s":"LTCBTC","U":108,"u":108,"b":[],"a":[["0.0017","0"]]}}
{"t":1790000000410000,"stream":"ltcbtc@bookTicker","data":{"u":108,"s":"LTCBTC","b":"0.0016","B":"2","a":"0.0018","A":"4"}}
{"t":1790000000420000,"stream":"ltcbtc@trade","data":{"e":"trade","E":1790000000410,"s":"LTCBTC","t":8,"p":"0.0016","q":"1","T":1790000000409,"m":true,"M":true}}
{"t":1790000000430000,"stream":"ltcbtc@aggTrade","data":{"e":"aggTrade","E":1790000000420,"s":"LTCBTC","a":3,"p":"0.0016","q":"1","f":7,"l":8,"T":1790000000409,"m":true,"M":true}}
{"t":1790000000440000,"stream":"ltcbtc@aggTrade","data":{"e":"aggTrade","E":1790000000430,"s":"LTCBTC","a":4,"p":"0.0016","q":"1","f":9,"l":9,"T":1790000000419,"m":true,"M":true}}
{"t":1790000000450000,"stream":"ltcbtc@kline_1m","data":{"e":"kline","E":1790000000440,"s":"LTCBTC","k":{"t":1789999980000,"T":1790000039999,"s":"LTCBTC","i":"1m","f":5,"L":9,"o":"0.0016","c":"0.0016","h":"0.0017","l":"0.0015","v":"5","n":5,"x":true,"q":"0.1","V":"1","Q":"0.1","B":"0"}}}
{"t":1790000000460000,"stream":"ltcbtc@kline_1m","data":{"e":"kline","E":1790000000450,"s":"LTCBTC","k":{"t":1790000040000,"T":1790000099999,"s":"LTCBTC","i":"1m","f":-1,"L":-1,"o":"0.0016","c":"0.0016","h":"0.0016","l":"0.0016","v":"0","n":0,"x":false,"q":"0","V":"0","Q":"0","B":"0"}}}
{"t":1790000000470000,"stream":"ltcbtc@miniTicker","data":{"e":"24hrMiniTicker","E":1790000000460,"s":"LTCBTC","c":"0.0016","o":"0.0015","h":"0.0017","l":"0.0014","v":"1","q":"0.1"}}
{"t":1790000000480000,"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":1790000000470,"s":"LTCBTC","c":"0.0016","o":"0.0015","h":"0.0017","l":"0.0014","v":"1","q":"0.1"},{"e":"24hrMiniTicker","E":1790000000460,"s":"ETHBTC","c":"0.03","o":"0.03","h":"0.03","l":"0.03","v":"1","q":"0.1"}]}
{"t":1790000000490000,"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":1790000000480,"s":"ETHBTC","c":"0.03","o":"0.03","h":"0.03","l":"0.03","v":"1","q":"0.1"}]}
{"t":1790000000500000,"stream":"ltcbtc@blockTrade","data":{"e":"blockTrade","E":1790000000490,"s":"LTCBTC","t":4,"p":"0.0016","q":"900","T":1790000000489,"m":true}}
{"t":1790000000510000,"stream":"ltcbtc@blockTrade","data":{"e":"blockTrade","E":1790000000500,"s":"LTCBTC","t":6,"p":"0.0016","q":"900","T":1790000000499,"m":true}}
{"t":1790000000520000,"stream":"ltcbtc@depth5","data":{"lastUpdateId":108,"bids":[["0.0016","2"],["0.0015","1.5"]],"asks":[["0.0018","4"]]}}
{"t":1790000000530000,"stream":"ltcbtc@ticker_1h","data":{"e":"1hTicker","E":1790000000520,"s":"LTCBTC","p":"0","P":"0","w":"0.0016","o":"0.0016","h":"0.0017","l":"0.0015","c":"0.0016","v":"1","q":"0.1","O":1789996380000,"C":1790000000520,"F":1,"L":9,"n":9}}
{"t":1790000000540000,"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1790000000530}}
{"end":1790000000600000,"frames":21}
"""

USDM = r"""
{"cassette":1,"market":"usdm","source":"by hand"}
{"t":1790000000100000,"stream":"ltcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790000000090,"T":1790000000089,"s":"LTCUSDT","ps":"LTCUSDT","U":1010,"u":1020,"pu":1003,"b":[["86.90","1"]],"a":[],"st":1}}
{"t":1790000000150000,"rest":"/fapi/v1/depth?symbol=LTCUSDT&limit=5","status":200,"data":{"lastUpdateId":1034,"E":1790000000140,"T":1790000000139,"bids":[["86.90","1"],["86.80","2"]],"asks":[["87.00","3"],["87.10","4"]]}}
{"t":1790000000200000,"stream":"ltcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790000000190,"T":1790000000189,"s":"LTCUSDT","ps":"LTCUSDT","U":1031,"u":1040,"pu":1020,"b":[["86.80","2"],["86.90","1.5"]],"a":[],"st":1}}
{"t":1790000000300000,"stream":"ltcusdt@depth@100ms","data":{"e":"depthUpdate","E":1790000000290,"T":1790000000289,"s":"LTCUSDT","ps":"LTCUSDT","U":1055,"u":1060,"pu":1040,"b":[],"a":[["87.00","0.000"]],"st":1}}
{"t":1790000000310000,"stream":"ltcusdt@bookTicker","data":{"e":"bookTicker","u":1060,"s":"LTCUSDT","ps":"LTCUSDT","b":"86.90","B":"1.500","a":"87.10","A":"4","T":1790000000289,"E":1790000000300,"st":1}}
{"t":1790000000320000,"stream":"ltcusdt@trade","data":{"e":"trade","E":1790000000310,"T":1790000000309,"s":"LTCUSDT","t":50,"p":"87.00","q":"1","X":"MARKET","m":true,"st":1}}
{"t":1790000000330000,"stream":"ltcusdt@trade","data":{"e":"trade","E":1790000000320,"T":1790000000319,"s":"LTCUSDT","t":51,"p":"87.00","q":"1","X":"MARKET","m":true,"st":1}}
{"t":1790000000340000,"stream":"ltcusdt@aggTrade","data":{"e":"aggTrade","E":1790000000330,"a":9,"s":"LTCUSDT","p":"87.00","q":"2","nq":"2","f":50,"l":51,"T":1790000000319,"m":true,"st":1}}
{"t":1790000000350000,"stream":"ltcusdt@aggTrade","data":{"e":"aggTrade","E":1790000000340,"a":10,"s":"LTCUSDT","p":"87.00","q":"2","nq":"2","f":52,"l":55,"T":1790000000329,"m":true,"st":1}}
{"t":1790000000360000,"stream":"ltcusdt@kline_1m","data":{"e":"kline","E":1790000000350,"s":"LTCUSDT","k":{"t":1789999980000, "T":1790000039999, "s":"LTCUSDT", "i":"1m", "f":1, "L":55, "o":"87", "c":"87", "h":"87.5", "l":"86", "v":"5", "n":50, "x":false, "q":"0.1", "V":"1", "Q":"0.1", "B":"0"}}}
{"t":1790000000370000,"stream":"ltcusdt@depth5@100ms","data":{"e":"depthUpdate","E":1790000000360,"T":1790000000359,"s":"LTCUSDT","ps":"LTCUSDT","U":1055,"u":1060,"pu":1040,"b":[["86.90","1.5"]],"a":[["87.10","4"]],"st":1}}
{"t":1790000000380000,"stream":"ltcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1790000000370,"s":"LTCUSDT","p":"87.40113042","ap":"87.39870011","P":"87.22045110","i":"87.41551200","r":"0.00010000","T":1790006400000,"st":1}}
{"t":1790000000390000,"stream":"ltcusdt@forceOrder","data":{"e":"forceOrder","E":1790000000380,"o":{"s":"LTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"3.500","p":"86.95","ap":"87.31","X":"FILLED","l":"1.200","z":"3.500","T":1790000000375,"ps":"LTCUSDT","st":1}}}
{"t":1790000000400000,"stream":"ltcusdt_perpetual@continuousKline_1m","data":{"e":"continuous_kline","E":1790000000390,"ps":"LTCUSDT","ct":"PERPETUAL","k":{"t":1789999980000,"T":1790000039999,"i":"1m","f":1000,"L":1060,"o":"87","c":"87","h":"87.5","l":"86","v":"5","n":50,"x":false,"q":"0.1","V":"1","Q":"0.1","B":"0"}}}
{"t":1790000000410000,"stream":"!bookTicker","data":{"e":"bookTicker","u":1070,"s":"LTCUSDT","ps":"LTCUSDT","b":"86.90","B":"1.500","a":"87.10","A":"4","T":1790000000289,"E":1790000000400,"st":1}}
{"t":1790000000420000,"stream":"!bookTicker","data":{"e":"bookTicker","u":1070,"s":"LTCUSDT","ps":"LTCUSDT","b":"86.90","B":"1.500","a":"87.10","A":"4","T":1790000000289,"E":1790000000410,"st":1}}
{"t":1790000000430000,"stream":"ltcusdt@rpiDepth@500ms","data":{"e":"depthUpdate","E":1790000000420,"T":1790000000419,"s":"LTCUSDT","ps":"LTCUSDT","U":1010,"u":1020,"pu":1003,"b":[["86.95","1"]],"a":[],"st":1}}
{"t":1790000000440000,"stream":"tradingSession","data":{"e":"EquityUpdate","E":1790000000430,"t":1789997400000,"T":1790020800000,"S":"REGULAR"}}
{"t":1790000000450000,"stream":"!contractInfo","data":{"e":"contractInfo","E":1790000000440,"s":"LTCUSDT","ct":"PERPETUAL","dt":4133404800000,"ot":1569398400000,"cs":"TRADING","bks":[{"bs":1,"bnf":0,"bnc":10000,"mmr":0.006,"cf":0,"mi":51,"ma":75}],"st":1}}
{"end":1790000000600000,"frames":18}
"""


def lines_of(text: str) -> list[bytes]:
    """The lines, the first of which is the header."""
    return text.strip().encode().split(b"\n")


RECONNECTED = b'{"t":1790000000199999,"mark":"reconnected","reason":"1006"}'
