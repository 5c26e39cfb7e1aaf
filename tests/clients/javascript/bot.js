// Prints what a client of some streams has got, and a snapshot when it has it all.
const { MainClient, USDMClient, WebsocketClient } = require("binance");

const [market, wsUrl, baseUrl, symbol, names, count] = process.argv.slice(2);
const quiet = { trace() {}, info() {}, error: console.error };

const streams = new WebsocketClient({ wsUrl }, quiet);
const settings = { baseUrl, disableTimeSync: true };
const rest = market === "spot" ? new MainClient(settings) : new USDMClient(settings);
const events = [];

streams.on("message", async (event) => {
  events.push(event);
  if (events.length < Number(count)) return;
  const book = await rest.getOrderBook({ symbol, limit: 5 });
  process.stdout.write(JSON.stringify({ events, book }), () => process.exit());
});
streams.on("exception", (error) => {
  console.error(error);
  process.exit(1);
});
streams.subscribe(names.split(","), market === "spot" ? "main" : "usdm");
