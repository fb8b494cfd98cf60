// Every form of new and delete, containers, and a leak in a template.
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

struct alignas(64) Wide { char c[64]; };

template <typename T> struct Registry {
	std::vector<T *> kept;
	__attribute__((noinline)) void add(int i)
	{
		T *t = new T(i);
		if (i % 5)
			kept.push_back(t);
		// Every fifth is forgotten.
	}
	~Registry()
	{
		for (T *t : kept)
			delete t;
	}
};

struct Number {
	explicit Number(int i) : i(i) {}
	int i;
	std::string name = "a name that is too long to be stored inside";
};

namespace {
template <typename F> __attribute__((noinline)) void twice(F f) { f(); f(); }
}

int main()
{
	{
		Registry<Number> r;
		for (int i = 0; i < 11; i++)
			r.add(i);
	}
	delete new int(1);
	delete[] new char[100];
	delete new Wide;
	delete[] new Wide[3];
	delete new (std::nothrow) long(2);
	delete[] new (std::nothrow) long[4];
	std::map<int, std::string> m;
	for (int i = 0; i < 6; i++)
		m[i] = std::string(20 * i, 'x');
	twice([] { auto p = std::make_shared<std::vector<int>>(10); });
	return 0;
}
