-- vim:ft=lua
-- One line per program: which core it runs on and whose pager it faults to.
--
--   package.path = "rom/?.lua";
--   local percore = require("percore");
--   local pagers = percore.pagers("core", 48);
--   percore.start(pagers, 3, { log = { "app", "green" } }, "rom/app");
--
-- Works under ned and, but for what only ned has, in the kernel model. Where a pager service is
-- expected, nil stands for the root task: then memory comes from upstream's place, and all else is
-- the same. docs/boot-scripts.md has examples.

local L4 = require("L4");

local percore = {};

-- Words NAME=VALUE behind the script's name on the root task's command line, as a table; numbers are
-- numbers. 'percore' passes cores= and memory= there for entries marked [pagers].
function percore.options()
  local t = {};
  for _, word in ipairs(arg or {}) do
    local name, value = word:match("^([%w_-]+)=(.*)$");
    if name then
      t[name] = tonumber(value) or value;
    end
  end
  t.cores = t.cores or CORES or 1;
  return t;
end

-- A capability, to be used as a factory. ned would otherwise ask the server of a channel what it
-- speaks; the model needs no telling.
local function factory(cap)
  local cast = rawget(L4, "cast");
  return cast and cast(L4.Proto.Factory, cap) or cap;
end

-- A new client of the root pager, or nil in the model, which gives one by itself.
function percore.sigma0()
  if rawget(L4, "cast") then
    return factory(L4.Env.sigma0):create(L4.Proto.Sigma0):m("rws");
  end
end

-- Starts the pager service: layout is "central", "node" or "core"; without a number of cores it
-- serves all. In more, all optional: args (further arguments), caps, log, scheduler, command.
-- Returns the service's capability. It may be used at once: the first call waits for the service.
function percore.pagers(layout, cores, more)
  more = more or {};
  local channel = L4.default_loader:new_channel();
  local command = (more.command or "rom/percore-pager") .. " --layout=" .. layout;
  if cores then
    command = command .. " --cores=" .. cores;
  end
  if more.args then
    command = command .. " " .. more.args;
  end
  local caps = more.caps or {};
  caps.pager = channel:svr();
  caps.sigma0 = caps.sigma0 or percore.sigma0();
  L4.default_loader:start({
    caps = caps,
    log = more.log or { "pager", "magenta" },
    scheduler = more.scheduler,
  }, command);
  return channel;
end

-- The service that the options ask for: memory=ours is a pager a core (layout= chooses another),
-- memory=upstream is the root task, which is nil.
function percore.service(options, more)
  if (options.memory or "ours") == "upstream" then
    return nil;
  end
  return percore.pagers(options.layout or "core", options.cores, more);
end

-- A factory for dataspaces, region maps and further factories. place is a core's number or a text
-- as "core=3" or "node=1"; with a quota (bytes) it gives no more than that.
function percore.factory(pagers, place, quota)
  if pagers == nil then
    if quota == nil then
      return L4.Env.user_factory;
    end
    return L4.Env.user_factory:create(L4.Proto.Factory, quota):m("rws");
  end
  if type(place) == "number" then
    place = "core=" .. place;
  end
  if quota then
    return factory(pagers):create(L4.Proto.Factory, quota, place):m("rws");
  end
  return factory(pagers):create(L4.Proto.Factory, place):m("rws");
end

-- A loader whose programs get memory and region maps from the pager of one place. All else (logs,
-- name spaces, schedulers) stays the root task's.
function percore.loader(pagers, place, quota)
  if pagers == nil and quota == nil then
    return L4.default_loader;
  end
  local f = percore.factory(pagers, place, quota);
  return L4.Loader.new({
    mem = f,
    rm_fab = f,
    log_fab = L4.Env.user_factory,
    ns_fab = L4.Env.user_factory,
    sched_fab = L4.Env.user_factory,
  });
end

-- A scheduler for one core, or for those of a list. Programs get priorities 2 to 100.
function percore.on(cores)
  if type(cores) == "number" then
    cores = { cores };
  end
  local masks = {};
  for _, core in ipairs(cores) do
    local word = core // 64 + 1;
    for i = #masks + 1, word do
      masks[i] = 0;
    end
    masks[word] = masks[word] | 1 << core % 64;
  end
  return L4.Env.user_factory:create(L4.Proto.Scheduler, 100, 2, table.unpack(masks));
end

-- Starts a program on a core with that core's pager. place is the core's number, or a table
-- { cpus = core or list, memory = "node=1" or core }, for programs with a node to themselves.
function percore.start(pagers, place, env, command, quota)
  local cpus, memory = place, place;
  if type(place) == "table" then
    cpus = place.cpus;
    memory = place.memory or (type(cpus) == "table" and cpus[1] or cpus);
  end
  env.scheduler = percore.on(cpus);
  return percore.loader(pagers, memory, quota):start(env, command);
end

-- Spreads programs over places, one after the other and again from the first. programs is a list
-- of commands, or of { env, command }; places a list for percore.start, or a number of cores.
-- Returns the started programs in order.
function percore.spread(pagers, programs, places, quota)
  if type(places) == "number" then
    local n = places;
    places = {};
    for core = 0, n - 1 do
      places[core + 1] = core;
    end
  end
  local apps = {};
  for i, program in ipairs(programs) do
    local env, command = {}, program;
    if type(program) == "table" then
      env, command = program[1], program[2];
    end
    local place = places[(i - 1) % #places + 1];
    apps[i] = percore.start(pagers, place, env, command, quota);
  end
  return apps;
end

-- Places for percore.spread: one a node, of nodes with that many cores each.
function percore.nodes(count, cores_each)
  local places = {};
  for node = 0, count - 1 do
    local cpus = {};
    for i = 1, cores_each do
      cpus[i] = node * cores_each + i - 1;
    end
    places[node + 1] = { cpus = cpus, memory = "node=" .. node };
  end
  return places;
end

-- Prints the pagers' statistics once and waits until that is done. args go to percore-top.
function percore.statistics(pagers, args)
  local app = L4.default_loader:start({
    caps = { pager = pagers:m("rws") },
    log = { "top", "cyan" },
  }, "rom/percore-top --once" .. (args and " " .. args or ""));
  return app and app:wait();
end

-- Frames of all the pagers' cores that are not free.
function percore.used(pagers)
  return L4.default_loader:start({
    caps = { pager = pagers:m("rws") },
    log = { "used", "cyan" },
  }, "rom/percore-top --used"):wait();
end

-- The paper's experiment: one program a core that allocates and frees pages. The words cores= and pages=
-- of the command line say how many, or CORES and PAGES, set before the script runs (ned -e "CORES=12").
function percore.paper(layout)
  local options = percore.options();
  local cores = CORES or (arg and arg[1] and options.cores) or 48;
  local pages = PAGES or options.pages or 10000;
  -- The pages, and 4 MiB a core for tables and what cannot be divided evenly. Threads of nodes get the
  -- same amount each, but their nodes need not have as many cores in use: most of what there is.
  local memory = layout == "node" and "90%" or cores * (pages // 256 + 4) .. "M";
  local pagers = percore.pagers(layout, cores, { args = "--memory=" .. memory });
  local apps = {};
  for core = 0, cores - 1 do
    apps[#apps + 1] = percore.start(pagers, core, { log = { "bench-" .. core, "green" } },
                                    "rom/page-bench " .. pages);
  end
  -- The model waits by itself.
  local failed = 0;
  for _, app in ipairs(apps) do
    failed = failed | app:wait();
  end
  if #apps > 0 then
    percore.statistics(pagers);
    print("paper: " .. (failed == 0 and "done" or "FAILED") .. ", layout " .. layout);
  end
end

return percore;
