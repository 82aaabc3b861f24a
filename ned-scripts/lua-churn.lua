-- vim:ft=lua
-- Run by an unmodified Lua on a pager: allocates and frees tables and strings, and checks them. An argument
-- says how many rounds.

local kept, sum = {}, 0;
local state = 1;
local function random(n)
  state = (state * 1103515245 + 12345) % 2147483648;
  return state // 65536 % n;
end

for round = 1, tonumber(arg and arg[1]) or 20000 do
  local i = random(64) + 1;
  local old = kept[i];
  if old then
    assert(old.text == string.rep(old.letter, old.length), "contents lost");
    sum = sum + old.length;
  end
  local length = random(20000) + 1;
  local letter = string.char(97 + random(26));
  kept[i] = { letter = letter, length = length, text = string.rep(letter, length) };
  if round % 1000 == 0 then
    kept = {};
    collectgarbage();
  end
end
print("lua: done, " .. sum .. " bytes checked");
