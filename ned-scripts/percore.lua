-- vim:ft=lua
-- One line per program: which core it runs on and whose pager it faults to.
--
--   local percore = require("percore");
--   local pagers = percore.pagers("core", 48);
--   percore.start(pagers, 3, { log = { "app", "green" } }, "rom/app");

local L4 = require("L4");

local percore = {};

-- Starts the pager service: layout is "central", "node" or "core".
function percore.pagers(layout, cores)
  local channel = L4.default_loader:new_channel();
  L4.default_loader:start({
    caps = { pager = channel:svr() },
    log = { "pager", "magenta" },
  }, "rom/percore-pager --layout=" .. layout .. " --cores=" .. cores);
  return channel;
end

-- A loader whose programs get memory and region maps from the pager of one core.
function percore.loader(pagers, core)
  local f = pagers:create(L4.Proto.Factory, "core=" .. core):m("rws");
  return L4.Loader.new({ mem = f, rm_fab = f });
end

-- A scheduler that knows one core.
function percore.on(core)
  return L4.Env.user_factory:create(L4.Proto.Scheduler, 100, 2, 1 << core);
end

-- Starts a program on a core.
function percore.start(pagers, core, env, command)
  env.scheduler = percore.on(core);
  return percore.loader(pagers, core):start(env, command);
end

-- The paper's experiment: one program a core that allocates and frees pages. CORES and PAGES can be
-- set before the script runs (ned -e "CORES=12").
function percore.paper(layout)
  local cores = CORES or 48;
  local pagers = percore.pagers(layout, cores);
  for core = 0, cores - 1 do
    percore.start(pagers, core, { log = { "bench-" .. core, "green" } },
                  "rom/page-bench " .. (PAGES or 10000));
  end
end

return percore;
