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
-- the same. A mistake ends the script with an error that names the function, the argument and what was
-- expected, at the script's line. docs/boot-scripts.md has all functions and examples.

local L4 = require("L4");

local percore = {};

-- ---- Mistakes ----

-- A value as an error shows it.
local function show(value)
  return type(value) == "string" and '"' .. value .. '"' or tostring(value);
end

-- Ends the script: at the line of it that called this library, if ned can say which that is.
local function refuse(what, problem, ...)
  local level, info = 3, debug and debug.getinfo;
  if info then
    local here = info(1, "S").source;
    while info(level, "S") and info(level, "S").source == here do
      level = level + 1;
    end
  end
  error("percore." .. what .. ": " .. problem:format(...), level);
end

local function expect(what, name, value, kind)
  if type(value) ~= kind then
    refuse(what, "%s is %s; expected a %s", name, show(value), kind);
  end
  return value;
end

-- A whole number from `least` on, below 2^62. What Lua keeps as a float, as 4 / 2, is one, too.
local function whole(what, name, value, least)
  local is = type(value) == "number" and value % 1 == 0 and value < 1 << 62;
  if not is or value < least then
    refuse(what, "%s is %s; expected a whole number from %d on", name, show(value), least);
  end
  return value | 0;
end

local LAYOUTS = { core = true, node = true, central = true };
local POLICIES = { bitmap = true, buddy = true, avl = true, slab = true };

-- The name of a policy, or of two in an order.
local function policy_name(what, name)
  local first, second = tostring(name):match("^(%a+)%+?(%a*)$");
  local two = tostring(name):find("+", 1, true);
  if type(name) ~= "string" or not POLICIES[first] or (two and not POLICIES[second]) then
    refuse(what, "policy is %s; expected bitmap, buddy, avl or slab, or two of them as slab+avl", show(name));
  end
  return name;
end

-- What a refusal of the service means, by the code of ned's error.
local REASONS = {
  [-1] = "the capability lacks the right to create",
  [-12] = "it has no memory or no place for another factory",
  [-19] = "no pager serves it",
  [-2004] = "the service has ended; its own line above says why",
};

-- Memory is the root task's (nil), or a service's.
local function check_pagers(what, pagers)
  if type(pagers) ~= "userdata" and type(pagers) ~= "table" then
    refuse(what, "pagers is %s; expected what percore.pagers gave, or nil", show(pagers));
  end
end

-- ---- Services ----

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

local MORE = { args = true, caps = true, command = true, log = true, memory = true, policy = true, scheduler = true };

-- Starts the pager service: layout is "central", "node" or "core"; cores is a number, or a list as
-- "0,2-3"; without it all are served. In more, all optional: policy ("avl", "slab+avl"), memory ("64M",
-- "50%"), args (further arguments), caps, log, scheduler, command. Returns the service's capability. It
-- may be used at once: the first call waits for the service.
function percore.pagers(layout, cores, more)
  local what = "pagers";
  if not LAYOUTS[layout] then
    refuse(what, "layout is %s; expected core, node or central", show(layout));
  end
  more = expect(what, "more", more or {}, "table");
  for name in pairs(more) do
    if not MORE[name] then
      refuse(what, "more has %s; expected args, caps, command, log, memory, policy or scheduler", show(name));
    end
  end
  local command = (more.command or "rom/percore-pager") .. " --layout=" .. layout;
  if cores and type(cores) ~= "string" then
    cores = whole(what, "cores", cores, 1);
  end
  if cores then
    command = command .. " --cores=" .. cores;
  end
  if more.policy then
    command = command .. " --policy=" .. policy_name(what, more.policy);
  end
  if more.memory then
    command = command .. " --memory=" .. more.memory;
  end
  if more.args then
    command = command .. " " .. more.args;
  end
  local channel = L4.default_loader:new_channel();
  local caps = { sigma0 = percore.sigma0() };
  for name, cap in pairs(more.caps or {}) do
    caps[name] = cap;
  end
  caps.pager = channel:svr();
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
  local memory = options.memory or "ours";
  if memory == "upstream" then
    return nil;
  elseif memory ~= "ours" then
    refuse("service", "memory is %s; expected ours or upstream", show(memory));
  end
  return percore.pagers(options.layout or "core", options.cores, more);
end

-- Runs percore-top on a factory or service, and gives its exit code.
local function top(pager, name, words)
  local app = L4.default_loader:start({
    caps = { pager = pager },
    log = { name, "cyan" },
  }, "rom/percore-top " .. words);
  return app and app:wait();
end

-- ---- Memory of a place ----

-- A factory for dataspaces, region maps and further factories. place is a core's number or a text
-- as "core=3" or "node=1"; with a quota (bytes) it gives no more than that. With sealed its clients
-- cannot change the core's settings: for cores that several programs share (needs module percore-top).
function percore.factory(pagers, place, quota, sealed)
  local what = "factory";
  quota = quota and whole(what, "quota", quota, 1);
  if pagers == nil then
    if quota == nil then
      return L4.Env.user_factory;
    end
    return L4.Env.user_factory:create(L4.Proto.Factory, quota):m("rws");
  end
  check_pagers(what, pagers);
  if type(place) == "number" then
    place = "core=" .. whole(what, "place", place, 0);
  elseif type(place) ~= "string" or not (place:match("^core=%d+$") or place:match("^node=%d+$")) then
    refuse(what, "place is %s; expected a core's number, or core=N or node=N", show(place));
  end
  local done, made = pcall(function()
    if quota then
      return factory(pagers):create(L4.Proto.Factory, quota, place):m("rws");
    end
    return factory(pagers):create(L4.Proto.Factory, place):m("rws");
  end);
  if not done then
    local table = type(made) == "table" and made or {};
    refuse(what, "%s: %s (%s)", place, REASONS[table.code] or "refused", table.msg or tostring(made));
  end
  if sealed and top(made, "seal", "--seal") ~= 0 then
    refuse(what, "%s: cannot seal it; the lines above say why", place);
  end
  return made;
end

-- A loader whose programs get memory and region maps from the pager of one place. All else (logs,
-- name spaces, schedulers) stays the root task's.
function percore.loader(pagers, place, quota, sealed)
  if pagers == nil and quota == nil then
    return L4.default_loader;
  end
  local f = percore.factory(pagers, place, quota, sealed);
  return L4.Loader.new({
    mem = f,
    rm_fab = f,
    log_fab = L4.Env.user_factory,
    ns_fab = L4.Env.user_factory,
    sched_fab = L4.Env.user_factory,
  });
end

-- Changes the policy of the core of a place while it serves, and waits until that is done. Needs module
-- percore-top.
function percore.policy(pagers, place, name)
  local what = "policy";
  policy_name(what, name);
  if pagers == nil then
    refuse(what, "there is no pager service: memory is the root task's");
  end
  if top(percore.factory(pagers, place), "policy", "--policy=" .. name) ~= 0 then
    refuse(what, "the change to %s was refused; the lines above say why", name);
  end
end

-- ---- Programs ----

-- A scheduler for one CPU, or for those of a list. Programs get priorities 2 to 100. A program whose CPUs
-- are not there never runs, and nobody says so.
function percore.on(cores)
  local what = "on";
  if type(cores) ~= "table" then
    cores = { cores };
  end
  local masks = {};
  for _, core in ipairs(cores) do
    local cpu = whole(what, "CPU", core, 0);
    if cpu > 1023 then
      refuse(what, "CPU %d; the kernel has no more than 1024", cpu);
    end
    local word = cpu // 64 + 1;
    for i = #masks + 1, word do
      masks[i] = 0;
    end
    masks[word] = masks[word] | 1 << cpu % 64;
  end
  if #masks == 0 then
    refuse(what, "the list has no CPU");
  end
  return L4.Env.user_factory:create(L4.Proto.Scheduler, 100, 2, table.unpack(masks));
end

-- Starts a program on a core with that core's pager. place is the core's number, or a table
-- { cpus = core or list, memory = "node=1" or core, sealed = true }, for programs with a node to
-- themselves. A scheduler in env is kept, env itself is not changed.
function percore.start(pagers, place, env, command, quota)
  local what = "start";
  local cpus, memory, sealed = place, place, nil;
  if type(place) == "table" then
    cpus, sealed = place.cpus, place.sealed;
    memory = place.memory or (type(cpus) == "table" and cpus[1] or cpus);
  end
  if type(cpus) ~= "number" and type(cpus) ~= "table" then
    refuse(what, "place is %s; expected a CPU's number, or { cpus = number or list, memory = ... }", show(place));
  end
  expect(what, "env", env, "table");
  if not tostring(command):find("%S") or type(command) ~= "string" then
    refuse(what, "command is %s; expected a program and its arguments", show(command));
  end
  local mine = {};
  for name, value in pairs(env) do
    mine[name] = value;
  end
  mine.scheduler = mine.scheduler or percore.on(cpus);
  return percore.loader(pagers, memory, quota, sealed):start(mine, command);
end

-- Spreads programs over places, one after the other and again from the first. programs is a list
-- of commands, or of { env, command }; places a list for percore.start, or a number of cores.
-- Returns the started programs in order.
function percore.spread(pagers, programs, places, quota)
  local what = "spread";
  expect(what, "programs", programs, "table");
  if type(places) == "number" then
    local n = whole(what, "places", places, 1);
    places = {};
    for core = 0, n - 1 do
      places[core + 1] = core;
    end
  end
  if #expect(what, "places", places, "table") == 0 then
    refuse(what, "places is empty; expected a list, or a number of cores");
  end
  local apps = {};
  for i, program in ipairs(programs) do
    local env, command = {}, program;
    if type(program) == "table" then
      env, command = program[1], program[2];
    elseif type(program) ~= "string" then
      refuse(what, "program %d is %s; expected a command, or { env, command }", i, show(program));
    end
    local place = places[(i - 1) % #places + 1];
    apps[i] = percore.start(pagers, place, env, command, quota);
  end
  return apps;
end

-- Places for percore.spread: one a node, of nodes with that many cores each.
function percore.nodes(count, cores_each)
  whole("nodes", "count", count, 1);
  whole("nodes", "cores_each", cores_each, 1);
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

-- ---- Figures ----

-- Prints the pagers' statistics once and waits until that is done; gives 0 if it was. args go to
-- percore-top. Without a service there are none to print.
function percore.statistics(pagers, args)
  expect("statistics", "args", args or "", "string");
  if pagers == nil then
    return 0;
  end
  check_pagers("statistics", pagers);
  return top(pagers:m("rws"), "top", "--once" .. (args and " " .. args or ""));
end

-- Frames of all the pagers' cores that are not free; 0 without a service.
function percore.used(pagers)
  if pagers == nil then
    return 0;
  end
  check_pagers("used", pagers);
  local frames = top(pagers:m("rws"), "used", "--used");
  if frames < 0 then
    refuse("used", "percore-top ended with %d; the lines above say why", frames);
  end
  return frames;
end

-- The paper's experiment: one program a core that allocates and frees pages. The words cores= and pages=
-- of the command line say how many, or CORES and PAGES, set before the script runs (ned -e "CORES=12").
function percore.paper(layout)
  local options = percore.options();
  local cores = CORES or (arg and arg[1] and options.cores) or 48;
  local pages = whole("paper", "pages", PAGES or options.pages or 10000, 1);
  -- The pages, and 4 MiB a core for tables and what cannot be divided evenly. Threads of nodes get the
  -- same amount each, but their nodes need not have as many cores in use: most of what there is.
  local memory = layout == "node" and "90%" or cores * (pages // 256 + 4) .. "M";
  local pagers = percore.pagers(layout, cores, { memory = memory });
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
