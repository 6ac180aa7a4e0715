"""The report's style sheet. In Python and not in a file of its own so that it travels with every kind of install."""

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16191d; --muted: #656d78; --line: #e2e5ea; --soft: #eef0f4;
  --good: #12805c; --bad: #c0392b; --warn: #9a6700;
  --c1: #2f6fde; --c2: #8250df; --c3: #12805c; --c4: #d9730d; --c5: #c2377f; --c6: #0e8a9c; --c7: #98a1ad; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0e1116; --card: #171b22; --ink: #e8ebf0; --muted: #98a1ad; --line: #2b313b; --soft: #1f252e;
  --good: #4cc38a; --bad: #ff7b6b; --warn: #e3b341;
  --c1: #6ea2ff; --c2: #b78cff; --c3: #4cc38a; --c4: #f5a04c; --c5: #f27fb5; --c6: #56c9d8; --c7: #6b7480; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 64px; }
header h1 { margin: 0; font-size: 26px; letter-spacing: -.01em; overflow-wrap: anywhere; }
header p { margin: 4px 0 0; color: var(--muted); }
h2 { margin: 40px 0 12px; font-size: 18px; letter-spacing: -.005em; }
h2 small { font-weight: 400; font-size: 14px; margin-left: 4px; }
h3 { margin: 0; font-size: 14.5px; }
.badge { display: inline-block; vertical-align: 4px; margin-left: 8px; padding: 1px 10px; border-radius: 99px;
  font-size: 12.5px; font-weight: 600; border: 1px solid currentColor; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
  .muted { color: var(--muted); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
  min-width: 0; }
.notice { margin-top: 16px; border-left: 4px solid var(--warn); }
.notice.bad { border-left-color: var(--bad); color: inherit; }
.notice ul { margin: 4px 0 0; padding-left: 20px; } .notice pre { margin: 4px 0 0; }
.grid { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.grid.two { grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); margin-bottom: 14px; }
.tiles { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(min(150px, 44%), 1fr));
  margin-top: 20px; }
.tile b { display: block; font-size: 23px; line-height: 1.25; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: 13px; display: block; }
.tile.first { grid-column: span 2; }
.plot { margin: 0; display: flex; flex-direction: column; }
.plot svg { display: block; width: 100%; height: auto; margin-top: auto; padding-top: 8px; font-family: inherit; }
.plot p { margin: 2px 0 4px; color: var(--muted); font-size: 12.5px; line-height: 1.4; }
.plot .none { margin: 24px 0; text-align: center; color: var(--muted); }
.keys { display: flex; flex-wrap: wrap; gap: 2px 14px; margin-top: 2px; font-size: 12.5px; color: var(--muted); }
.keys i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px;
  background: var(--k); }
th.scale { text-align: left; } th.scale span { float: right; } td.scale { width: 26%; } .keys.under { margin: 8px 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; color: var(--muted); font-weight: 500; font-size: 13px;
  border-bottom: 1px solid var(--line); }
td { text-align: right; border-bottom: 1px solid var(--line); }
th, td { padding: 7px 10px; white-space: nowrap; } tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; } tr.all td { font-weight: 650; }
  td small { color: var(--muted); font-weight: 400; }
table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { color: var(--muted); white-space: nowrap; width: 1%; vertical-align: top; }
.track { position: relative; display: block; width: 100%; min-width: 180px; height: 22px; }
.track::before { content: ""; position: absolute; left: 0; right: 0; top: 10.5px; height: 1px;
  background: var(--line); }
.track i { position: absolute; height: 6px; border-radius: 3px; opacity: .35; background: var(--k); }
.track u { position: absolute; width: 10px; height: 10px; margin-left: -5px; border-radius: 50%;
  background: var(--k); }
.track .b { top: 3px; } .track .a { top: 13px; } .track u.b { top: 1px; } .track u.a { top: 11px; }
.pair { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr));
  margin-top: 10px; }
.sample { margin: 10px 0 14px; } .sample > p { margin: 0 0 2px; color: var(--muted); font-size: 13px;
  overflow-wrap: anywhere; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate;
  font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.answer { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.answer div { display: flex; justify-content: space-between; gap: 8px; padding: 5px 10px; background: var(--soft);
  font-size: 13px; }
.answer pre { padding: 8px 10px; max-height: 260px; overflow: auto; }
details { margin-top: 14px; } summary { cursor: pointer; font-weight: 600; }
details > pre { margin-top: 10px; max-height: 640px; overflow: auto; }
footer { margin-top: 40px; color: var(--muted); font-size: 13px; }
@media (max-width: 560px) { main { padding: 18px 12px 40px; } header h1 { font-size: 21px; }
  .tile b { font-size: 19px; }
  .card { padding: 12px; } th, td { padding: 6px; } td small { display: block; line-height: 1.2; } }
@media print { body { background: none; } .card { break-inside: avoid; } }
"""
